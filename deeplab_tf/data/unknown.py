"""Pixels of a crop that show nothing: padding, and pixels without data.

Their values have a meaning for the network, which sees the mean pixel as zero and is shown pixels
without data as they are stored, so no augmentation of colours may change them.
"""

from typing import NamedTuple

import tensorflow as tf

from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.images.classes import VOID


class Unknown(NamedTuple):
    """The unknown pixels of a crop.

    Attributes:
        places: int64 [N, 2], row and column of each.
        pixels: float32 [N, bands], the value of each.
    """

    places: tf.Tensor
    pixels: tf.Tensor


def find_unknown(
    image: tf.Tensor, mask: tf.Tensor, mean_pixel: tuple[float, ...], image_format: ImageFormat
) -> Unknown:
    """Finds the pixels that are void and have the value of padding or of no data in each band.

    Pixels without data are stored as 0; in RGB they keep the value that the data set names.

    Args:
        image: float32 [H, W, bands] as cropped, before any change of its colours.
        mask: uint8 [H, W].
        mean_pixel: the value of padding.
        image_format: the format of the data set's images.
    """
    absent = (image_format.nodata or 0.0) if image_format.is_rgb else 0.0
    void = tf.where(mask == VOID)
    pixels = tf.gather_nd(image, void)
    padding = tf.reduce_all(pixels == tf.constant(mean_pixel, tf.float32), axis=1)
    unknown = padding | tf.reduce_all(pixels == absent, axis=1)
    return Unknown(tf.boolean_mask(void, unknown), tf.boolean_mask(pixels, unknown))


def with_unknown(image: tf.Tensor, unknown: Unknown) -> tf.Tensor:
    """Returns `image`, float32 [H, W, bands], with the unknown pixels as they were found."""
    return tf.tensor_scatter_nd_update(image, unknown.places, unknown.pixels)
