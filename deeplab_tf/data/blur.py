"""A Gaussian blur over the known pixels of a crop.

A pixel becomes the mean of the pixels around it with Gaussian weights. What is unknown, and what
lies beyond the crop, has no weight, so neither padding nor missing data bleeds into the image.
"""

import tensorflow as tf

from deeplab_tf.config import DataConfig
from deeplab_tf.data.draws import PROBABILITY, Draw, uniform
from deeplab_tf.data.line_product import product
from deeplab_tf.data.select import select

LEAST_SIGMA = 0.05
"""Below this standard deviation, in pixels, the neighbours' weights are 0 in float32."""
RADIUS_IN_SIGMA = 3


def blur_at_random(
    image: tf.Tensor, unknown: tf.Tensor, seed: tf.Tensor, data: DataConfig
) -> tf.Tensor:
    """Blurs with probability 1/2, with a standard deviation uniform in (0, `data.blur`] pixels."""
    happens, strength = uniform(Draw.BLUR, seed, 2)
    sigma = data.blur * (1 - strength)
    return tf.cond(happens < PROBABILITY, lambda: blur(image, unknown, sigma), lambda: image)


def blur(image: tf.Tensor, unknown: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
    """Blurs the known pixels of `image`; the unknown ones get any value.

    Args:
        image: float32 [H, W, bands].
        unknown: bool [H, W], true for pixels without a weight.
        sigma: the standard deviation in pixels, float32; weights end at three times of it.
    """

    def over_known() -> tf.Tensor:
        shown = select(unknown, tf.zeros_like(image), image)
        known = tf.cast(~unknown, tf.float32)
        sums = _smooth(tf.concat([shown, tf.expand_dims(known, axis=-1)], axis=-1), sigma)
        return tf.math.divide_no_nan(sums[:, :, :-1], sums[:, :, -1:])

    return tf.cond(tf.reduce_any(unknown), over_known, lambda: _smooth(image, sigma))


def _smooth(values: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
    """Returns the means of the lines, then of the columns, of float32 [H, W, N]."""
    shape = values.shape
    height, width, count = tf.unstack(tf.shape(values, tf.int64))
    values = product(*_weights(height, sigma), tf.reshape(values, [height, width * count]))
    values = tf.transpose(tf.reshape(values, [height, width, count]), [1, 0, 2])
    values = product(*_weights(width, sigma), tf.reshape(values, [width, height * count]))
    values = tf.transpose(tf.reshape(values, [width, height, count]), [1, 0, 2])
    return tf.ensure_shape(values, shape)


def _weights(size: tf.Tensor, sigma: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the neighbours of each of `size` lines and their weights, as `product` takes them.

    Returns:
        int64 [size, k] and float32 [size, k]; the weights of a line add up to 1, and are 0 beyond
        the edge.
    """
    sigma = tf.maximum(sigma, LEAST_SIGMA)
    radius = tf.cast(tf.math.ceil(RADIUS_IN_SIGMA * sigma), tf.int64)
    offsets = tf.range(-radius, radius + 1)
    weights = tf.exp(-tf.square(tf.cast(offsets, tf.float32) / sigma) / 2)
    lines = tf.range(size)[:, None] + offsets
    inside = tf.cast((lines >= 0) & (lines < size), tf.float32)
    weights = weights * inside
    weights /= tf.reduce_sum(weights, axis=1, keepdims=True)
    return tf.clip_by_value(lines, 0, size - 1), weights
