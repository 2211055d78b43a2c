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
from deeplab_tf.data.select import select
from deeplab_tf.images.classes import VOID

OUTSIDE = VOID + 1
"""What a mask has beyond its edge, until that becomes `VOID`."""


class _Line(NamedTuple):
    """A source coordinate as a linear function of the crop's row and column, all float64 scalars.

    Attributes:
        origin: the coordinate of the crop's pixel (0, 0); whole numbers are pixel centres.
        by_row, by_column: the change from one row and one column of the crop to the next.
    """

    origin: tf.Tensor
    by_row: tf.Tensor
    by_column: tf.Tensor


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

    Positions are float32, so the border of a class may be off by some 1e-4 pixels of the source.

    Args:
        geometry: scale, position and flip.
        angle: radians, counterclockwise, float32.
        image, mask, mean_pixel: as `crop_by` takes them.
        data: `crop_size` and `crop_width` are read.

    Returns:
        The image, float32 [*data.crop, bands], and the mask, uint8 of shape `data.crop`.
    """
    source, crop = tf.shape(mask, out_type=tf.int64), data.crop
    lines = _lines(geometry, angle, source, crop)
    window, first = _window(lines, source, crop)
    y, x = lines
    zero = tf.constant(0, tf.float64)
    transform = [
        *(x.by_column, x.by_row, x.origin - first[1]),
        *(y.by_column, y.by_row, y.origin - first[0]),
        *(zero, zero),
    ]

    def sampled(pixels: tf.Tensor, interpolation: str, fill_mode: str) -> tf.Tensor:
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=pixels[None],
            transforms=tf.cast(tf.stack(transform), tf.float32)[None],
            output_shape=crop,
            fill_value=float(OUTSIDE),
            interpolation=interpolation,
            fill_mode=fill_mode,
        )[0]

    labels = sampled(tf.cast(mask[window], tf.int32)[:, :, None], "NEAREST", "CONSTANT")
    # The mode NEAREST repeats the edge, so that a pixel in the outer half of an edge's pixel is the
    # edge's; what lies farther is replaced.
    blended = sampled(tf.cast(image[window], tf.float32), "BILINEAR", "NEAREST")
    labels = tf.reshape(labels, crop)
    blended = tf.ensure_shape(blended, [*crop, len(mean_pixel)])
    blended = select(labels < OUTSIDE, blended, tf.constant(mean_pixel, tf.float32))
    return blended, tf.cast(tf.minimum(labels, VOID), tf.uint8)


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


def _window(
    lines: tuple[_Line, _Line], source: tf.Tensor, crop: tuple[int, int]
) -> tuple[tuple[slice, slice], list[tf.Tensor]]:
    """Returns the part of the source that the crop shows, and its first row and column, float64."""
    window, first = [], []
    for axis, line in enumerate(lines):
        # A linear function has its extremes at the corners.
        rows, columns = line.by_row * (crop[0] - 1), line.by_column * (crop[1] - 1)
        least = line.origin + tf.minimum(rows, 0) + tf.minimum(columns, 0)
        most = line.origin + tf.maximum(rows, 0) + tf.maximum(columns, 0)
        low, high = (
            tf.clip_by_value(tf.cast(tf.floor(end), tf.int64) + more, 0, source[axis] - 1)
            for end, more in ((least, 0), (most, 1))
        )
        window.append(slice(low, high + 1))
        first.append(tf.cast(low, tf.float64))
    return (window[0], window[1]), first
