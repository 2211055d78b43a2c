"""Cut-out: a rectangle of the crop is hidden (as in arXiv 1708.04896) and does not count.

The hidden pixels are the mean pixel, and void in the mask: what lies there cannot be known from
the image, and the network is not asked for it.
"""

import math

import tensorflow as tf

from deeplab_tf.config import DataConfig
from deeplab_tf.data.draws import Draw, uniform
from deeplab_tf.data.select import select
from deeplab_tf.images.classes import VOID

LEAST_AREA, MOST_AREA = 0.02, 0.33
"""The range of the rectangle's share of the crop's area; torchvision's RandomErasing has it too."""
MOST_ASPECT = 1 / 0.3
"""The largest ratio of the rectangle's sides."""


def cut_out_at_random(
    image: tf.Tensor,
    mask: tf.Tensor,
    seed: tf.Tensor,
    data: DataConfig,
    mean_pixel: tuple[float, ...],
) -> tuple[tf.Tensor, tf.Tensor]:
    """Hides a rectangle of a crop with probability `data.cut_out`.

    The rectangle lies inside the crop, at any place with equal probability.

    Args:
        image: float32 [H, W, bands].
        mask: uint8 [H, W].
        seed: int64 [2], of the example.
        data: `cut_out` is read.
        mean_pixel: the value of hidden pixels.

    Returns:
        The image and the mask.
    """
    happens, area, aspect, top, left = uniform(Draw.CUT_OUT, seed, 5)
    crop = tf.shape(mask)
    share = LEAST_AREA + (MOST_AREA - LEAST_AREA) * area
    ratio = tf.exp((2 * aspect - 1) * math.log(MOST_ASPECT))
    pixels = share * tf.cast(crop[0] * crop[1], tf.float32)
    sides = tf.round(tf.sqrt(tf.stack([pixels * ratio, pixels / ratio])))
    sides = tf.clip_by_value(tf.cast(sides, tf.int32), 1, crop)
    # A draw is below 1, so the cast, which rounds down, gives 0 to crop - sides.
    first = tf.cast(tf.stack([top, left]) * tf.cast(crop - sides + 1, tf.float32), tf.int32)

    def cut() -> tuple[tf.Tensor, tf.Tensor]:
        rows, columns = (
            (tf.range(crop[i]) >= first[i]) & (tf.range(crop[i]) < first[i] + sides[i])
            for i in (0, 1)
        )
        hidden = rows[:, None] & columns[None]
        return (
            select(~hidden, image, tf.constant(mean_pixel, tf.float32)),
            tf.where(hidden, tf.constant(VOID, tf.uint8), mask),
        )

    return tf.cond(happens < data.cut_out, cut, lambda: (image, mask))
