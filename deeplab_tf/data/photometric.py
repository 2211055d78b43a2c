"""Brightness, contrast, saturation, hue and grey at random.

Order, ranges and probabilities are those of mmsegmentation's PhotoMetricDistortion: brightness,
then contrast, saturation and hue, or saturation, hue and contrast with equal probability, each with
probability 1/2. Pixels stay float32 here, where mmsegmentation rounds to uint8 after each step.
"""

import tensorflow as tf

from deeplab_tf.config import DataConfig
from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.data.draws import PROBABILITY, Draw, uniform

RANGE_IN_STD = 4.0
"""The range of a band without a convention in its standard deviations; ImageNet's RGB has 4.4."""
LUMA = (0.299, 0.587, 0.114)
"""The weights of red, green and blue in grey (ITU-R BT.601)."""


def pixel_range(image_format: ImageFormat) -> tf.Tensor:
    """Returns the range of pixel values that strengths are shares of, float32 [] or [bands]."""
    if image_format.is_rgb:
        return tf.constant(255.0)
    return RANGE_IN_STD * tf.constant(image_format.std, tf.float32)


def clip(image: tf.Tensor, image_format: ImageFormat) -> tf.Tensor:
    """Returns pixels within what `bits` can hold; floats of 32 bits stay as they are."""
    if image_format.bits == 32:
        return image
    return tf.raw_ops.ClipByValue(
        t=image, clip_value_min=0.0, clip_value_max=2.0**image_format.bits - 1
    )


def distort_colours(
    image: tf.Tensor, seed: tf.Tensor, data: DataConfig, image_format: ImageFormat
) -> tf.Tensor:
    """Changes brightness, contrast, saturation and hue of an image at random.

    Args:
        image: float32 [H, W, bands].
        seed: int64 [2], of the example.
        data: `brightness`, `contrast`, `saturation` and `hue` are read.
        image_format: RGB, or the format whose statistics scale brightness and contrast.
    """
    draws = uniform(Draw.PHOTOMETRIC, seed, 9)
    happens = [draw < PROBABILITY for draw in draws[:4]]
    brightness, contrast, saturation, hue = (2 * draw - 1 for draw in draws[4:8])
    contrast_first = draws[8] < 0.5
    if data.brightness:
        added = brightness * data.brightness * pixel_range(image_format)
        image = tf.cond(happens[0], lambda: clip(image + added, image_format), lambda: image)
    if data.contrast:
        factor = 1 + contrast * data.contrast
        first = happens[1] & contrast_first
        image = _with_contrast(image, factor, first, image_format)
    if data.saturation:
        scale = 1 + saturation * data.saturation
        image = tf.cond(happens[2], lambda: saturate(image, scale), lambda: image)
    if data.hue:
        turn = hue * data.hue
        image = tf.cond(happens[3], lambda: turn_hues(image, turn), lambda: image)
    if data.contrast:
        last = happens[1] & ~contrast_first
        image = _with_contrast(image, factor, last, image_format)
    return image


def _with_contrast(
    image: tf.Tensor, factor: tf.Tensor, happens: tf.Tensor, image_format: ImageFormat
) -> tf.Tensor:
    """Multiplies RGB by `factor`; spreads other bands about their means by it."""

    def spread() -> tf.Tensor:
        if image_format.is_rgb:
            return clip(image * factor, image_format)
        mean = tf.constant(image_format.mean, tf.float32)
        return clip(image * factor + mean * (1 - factor), image_format)

    return tf.cond(happens, spread, lambda: image)


def saturate(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiplies the saturation of HSV by `factor`, up to 1, in RGB float32 [H, W, 3], 0..255."""
    return tf.raw_ops.AdjustSaturation(images=image, scale=factor)


def turn_hues(image: tf.Tensor, turn: tf.Tensor) -> tf.Tensor:
    """Adds `turn`, a share of the circle, to the hue of HSV in RGB float32 [H, W, 3], 0..255."""
    return tf.raw_ops.AdjustHue(images=image, delta=turn)


def grey_at_random(image: tf.Tensor, seed: tf.Tensor, data: DataConfig) -> tf.Tensor:
    """Makes RGB float32 [H, W, 3] grey with probability `data.grey`; it keeps three channels."""
    (draw,) = uniform(Draw.GREY, seed, 1)

    def grey() -> tf.Tensor:
        weights = tf.repeat(tf.constant(LUMA)[:, None], 3, axis=1)
        return tf.reshape(tf.reshape(image, [-1, 3]) @ weights, tf.shape(image))

    return tf.cond(draw < data.grey, grey, lambda: image)
