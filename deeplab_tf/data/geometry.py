"""The random choices of scale, position and flip.

Tested in tests/data/test_augment.py and tests/data/test_letterbox.py.
"""

from typing import NamedTuple

import tensorflow as tf

from deeplab_tf.config import DataConfig, Fit


class Geometry(NamedTuple):
    """The random choices for one image.

    Attributes:
        size: int64 [2], height and width of the whole scaled image, at least 1.
        offset: int64 [2], the crop's top and left in the scaled image; 0 along a side where the
            scaled image is smaller than the crop.
        flip: bool, whether the crop is mirrored left-right.
    """

    size: tf.Tensor
    offset: tf.Tensor
    flip: tf.Tensor


def sample_geometry(source: tf.Tensor, seed: tf.Tensor, data: DataConfig) -> Geometry:
    """Draws scale, crop position and flip for an image of height and width `source` (int64 [2]).

    The scale is uniform in [min_scale, max_scale) and the same for both sides; each scaled side is
    rounded to whole pixels. The position of the crop is uniform over all positions inside the
    scaled image. Along a side that is smaller than the crop, the position is 0, so that the padding
    lies at the right or the bottom.

    With `Fit.LETTERBOX` the scale is the largest of at most 1 at which the image fits into the
    crop, each scaled side is rounded down, and the position is 0.
    """
    draw = tf.random.stateless_uniform([4], seed)
    if data.fit is Fit.LETTERBOX:
        size = _size_in_frame(source, data.crop)
    else:
        scale = data.min_scale + (data.max_scale - data.min_scale) * draw[0]
        size = tf.maximum(tf.cast(tf.round(tf.cast(source, tf.float32) * scale), tf.int64), 1)
    positions = tf.maximum(size - tf.constant(data.crop, tf.int64), 0) + 1
    # A draw is below 1, so the cast, which rounds down, gives 0 to positions - 1.
    offset = tf.cast(draw[1:3] * tf.cast(positions, tf.float32), tf.int64)
    flip = tf.logical_and(draw[3] < 0.5, data.flip)
    return Geometry(size, offset, flip)


def _size_in_frame(source: tf.Tensor, frame: tuple[int, int]) -> tf.Tensor:
    """Returns the height and width that `images.frame.into_frame` gives an image, int64 [2]."""
    height, width = tf.unstack(tf.cast(source, tf.float64))
    shrink = tf.minimum(tf.minimum(frame[0] / height, frame[1] / width), 1)
    # The 1e-6 keeps float errors from losing a pixel.
    size = tf.stack([height * shrink + 1e-6, width * shrink + 1e-6])
    return tf.maximum(tf.cast(size, tf.int64), 1)
