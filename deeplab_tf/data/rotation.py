"""A crop that is turned by any angle, made from the source in one step.

The scaled image turns about the centre of what the crop shows of it, then the crop is mirrored. The
image is blended from the four nearest source pixels, the mask takes the nearest one. A pixel beyond
the edge of the image is unknown: the mean pixel, and void.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from deeplab_tf.config import DataConfig
from deeplab_tf.data.draws import Draw, uniform
from deeplab_tf.data.geometry import Geometry
from deeplab_tf.images.classes import VOID


class _Line(NamedTuple):
    """A source coordinate as a linear function of the crop's row and column, all float64 scalars.

    Attributes:
        origin: the coordinate of the crop's pixel (0, 0); whole numbers are pixel centres.
        by_row, by_column: the change from one row and one column of the crop to the next.
    """

    origin: tf.Tensor
    by_row: tf.Tensor
    by_column: tf.Tensor

    def at(self, crop: tuple[int, int]) -> tf.Tensor:
        """Returns the coordinate for each pixel of the crop, float64 of shape `crop`."""
        rows, columns = (tf.range(side, dtype=tf.float64) for side in crop)
        return (self.origin + rows * self.by_row)[:, None] + (columns * self.by_column)[None]


def draw_angle(seed: tf.Tensor, data: DataConfig) -> tf.Tensor:
    """Draws the angle of an example in radians, float32, uniform to either side."""
    (draw,) = uniform(Draw.ROTATION, seed, 1)
    return (2 * draw - 1) * (data.rotation * math.pi / 180)


def rotated_crop(
    geometry: Geometry,
    angle: tf.Tensor,
    image: tf.Tensor,
    mask: tf.Tensor,
    data: DataConfig,
    mean_pixel: tuple[float, ...],
) -> tuple[tf.Tensor, tf.Tensor]:
    """Scales, turns, crops and mirrors one example.

    Args:
        geometry: scale, position and flip.
        angle: radians, counterclockwise, float32.
        image, mask, mean_pixel: as `augment` takes them.
        data: `crop_size` and `crop_width` are read.

    Returns:
        The image, float32 [*data.crop, bands], and the mask, uint8 of shape `data.crop`.
    """
    source = tf.shape(mask, out_type=tf.int64)
    y, x = _lines(geometry, angle, source, data.crop)
    rows, columns = y.at(data.crop), x.at(data.crop)
    height, width = tf.unstack(tf.cast(source, tf.float64))
    inside = (rows >= -0.5) & (rows < height - 0.5) & (columns >= -0.5) & (columns < width - 0.5)
    blended = _blended(image, y, x, data.crop)
    blended = tf.where(inside[..., None], blended, tf.constant(mean_pixel, tf.float32))
    nearest = [_nearest(rows, source[0]), _nearest(columns, source[1])]
    labels = tf.gather(tf.reshape(mask, [-1]), nearest[0] * source[1] + nearest[1])
    return blended, tf.where(inside, labels, tf.constant(VOID, tf.uint8))


def _lines(
    geometry: Geometry, angle: tf.Tensor, source: tf.Tensor, crop: tuple[int, int]
) -> tuple[_Line, _Line]:
    """Returns the source's row and column as functions of the crop's row and column.

    Let u and v be the row and the column of the crop, the latter counted from the right where the
    crop is mirrored, both relative to the centre (cy, cx) of what the crop shows of the scaled
    image. The scaled image's row is cos * u + sin * v + cy + top, its column cos * v - sin * u + cx
    + left. A row Y of the scaled image has its centre in the source at (Y + 1/2) * H / h - 1/2.
    """
    offset, size = (tf.cast(part, tf.float64) for part in (geometry.offset, geometry.size))
    ratio = tf.cast(source, tf.float64) / size
    centre = (tf.minimum(size - offset, tf.constant(crop, tf.float64)) - 1) / 2
    cos, sin = (function(tf.cast(angle, tf.float64)) for function in (tf.cos, tf.sin))
    step = tf.where(geometry.flip, tf.constant(-1, tf.float64), 1.0)
    u = -centre[0]  # at the crop's row 0
    v = tf.where(geometry.flip, tf.constant(crop[1] - 1, tf.float64), 0.0) - centre[1]
    row = cos * u + sin * v + centre[0] + offset[0]
    column = cos * v - sin * u + centre[1] + offset[1]
    return (
        _Line((row + 0.5) * ratio[0] - 0.5, cos * ratio[0], sin * step * ratio[0]),
        _Line((column + 0.5) * ratio[1] - 0.5, -sin * ratio[1], cos * step * ratio[1]),
    )


def _blended(image: tf.Tensor, y: _Line, x: _Line, crop: tuple[int, int]) -> tf.Tensor:
    """Blends the crop, float32 [*crop, bands]; coordinates beyond the image give its edge."""
    bands = image.shape[-1]
    first, window = [], []
    for axis, line in enumerate((y, x)):
        # A linear function has its extremes at the corners.
        rows, columns = line.by_row * (crop[0] - 1), line.by_column * (crop[1] - 1)
        least = line.origin + tf.minimum(rows, 0) + tf.minimum(columns, 0)
        most = line.origin + tf.maximum(rows, 0) + tf.maximum(columns, 0)
        last = tf.shape(image, tf.int64)[axis] - 1
        low, high = (
            tf.clip_by_value(tf.cast(tf.floor(end), tf.int64) + more, 0, last)
            for end, more in ((least, 0), (most, 1))
        )
        first.append(tf.cast(low, tf.float64))
        window.append(slice(low, high + 1))
    zero = tf.constant(0, tf.float64)
    transform = [
        *(x.by_column, x.by_row, x.origin - first[1]),
        *(y.by_column, y.by_row, y.origin - first[0]),
        *(zero, zero),
    ]
    blended = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(image[tuple(window)], tf.float32)[None],
        transforms=tf.cast(tf.stack(transform), tf.float32)[None],
        output_shape=crop,
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
    return tf.reshape(blended, [*crop, bands])


def _nearest(position: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Returns the pixel that each position lies in, int64, from 0 to `count` - 1."""
    return tf.clip_by_value(tf.cast(tf.floor(position + 0.5), tf.int64), 0, count - 1)
