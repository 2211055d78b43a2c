"""Gaussian noise, independent in each pixel and band, as of a sensor."""

import tensorflow as tf

from deeplab_tf.config import DataConfig
from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.data.draws import Draw, seed_of
from deeplab_tf.data.photometric import clip, pixel_range

PROBABILITY = 0.5


def noise_at_random(
    image: tf.Tensor, seed: tf.Tensor, data: DataConfig, image_format: ImageFormat
) -> tf.Tensor:
    """Adds noise with probability 1/2 to an image, float32 [H, W, bands].

    The standard deviation is uniform in (0, `data.noise`], as a share of the range of the pixels.
    """
    choice, values = tf.unstack(tf.random.split(seed_of(Draw.NOISE, seed), 2))
    happens, strength = tf.unstack(tf.random.stateless_uniform([2], choice))

    def noisy() -> tf.Tensor:
        deviation = data.noise * (1 - strength) * pixel_range(image_format)
        drawn = tf.random.stateless_normal(image.shape, values)
        return clip(image + deviation * drawn, image_format)

    return tf.cond(happens < PROBABILITY, noisy, lambda: image)
