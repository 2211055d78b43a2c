"""Pixels of a crop that show nothing: padding, and pixels without data.

Their values have a meaning for the network, which sees the mean pixel as zero and is shown pixels
without data as they are stored, so no augmentation of colours may change them.
"""

import functools

import tensorflow as tf

from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.images.classes import VOID


def find_unknown(
    image: tf.Tensor, mask: tf.Tensor, mean_pixel: tuple[float, ...], image_format: ImageFormat
) -> tf.Tensor:
    """Finds the pixels that are void and have the value of padding or of no data in each band.

    Pixels without data are stored as 0; in RGB they keep the value that the data set names.

    Args:
        image: float32 [H, W, bands] as cropped, before any change of its colours.
        mask: uint8 [H, W].
        mean_pixel: the value of padding.
        image_format: the format of the data set's images.

    Returns:
        bool [H, W], true where a pixel is unknown.
    """
    absent = (image_format.nodata or 0.0) if image_format.is_rgb else 0.0
    # Plane by plane, since a reduction over three values a pixel takes longer.
    planes = tf.unstack(image, len(mean_pixel), axis=-1)
    padding = [plane == mean for plane, mean in zip(planes, mean_pixel, strict=True)]
    lacking = [plane == absent for plane in planes]
    both = (functools.reduce(tf.logical_and, part) for part in (padding, lacking))
    return (mask == VOID) & functools.reduce(tf.logical_or, both)
