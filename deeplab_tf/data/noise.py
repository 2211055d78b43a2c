"""Gaussian noise, as of a sensor.

A crop of 513x513 pixels needs 790,000 normal numbers, which are slow to draw. They are therefore
drawn once, a million more than a crop has, and the noise of an example is a piece of them that
begins at a random place.
"""

import functools

import tensorflow as tf

from deeplab_tf.config import DataConfig
from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.data.draws import PROBABILITY, Draw, uniform
from deeplab_tf.data.photometric import clip, pixel_range

PLACES = 2**20
"""The number of places that a crop's noise can begin at."""
SEED = (2, 7)


def noise_at_random(
    image: tf.Tensor, seed: tf.Tensor, data: DataConfig, image_format: ImageFormat
) -> tf.Tensor:
    """Adds noise with probability 1/2 to an image, float32 [H, W, bands] of a static shape.

    The standard deviation is uniform in (0, `data.noise`], as a share of the range of the pixels.
    """
    happens, strength, place = uniform(Draw.NOISE, seed, 3)
    count = image.shape.num_elements()
    # The numbers are made outside of the graph of an example, which would make them each time.
    with tf.init_scope():
        normal = _normal_numbers(count)

    def noisy() -> tf.Tensor:
        deviation = data.noise * (1 - strength) * pixel_range(image_format)
        first = tf.cast(place * PLACES, tf.int32)
        piece = tf.reshape(normal[first : first + count], image.shape)
        return clip(image + deviation * piece, image_format)

    return tf.cond(happens < PROBABILITY, noisy, lambda: image)


@functools.cache
def _normal_numbers(count: int) -> tf.Tensor:
    """Returns float32 [count + PLACES] of the standard normal distribution, always the same."""
    # Input pipelines run on the CPU; on a GPU the numbers would be copied for every example.
    with tf.device("CPU:0"):
        return tf.random.stateless_normal([count + PLACES], SEED)
