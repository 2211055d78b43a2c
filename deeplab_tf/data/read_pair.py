"""Reads one image and its mask, checked, in the form that the records store."""

import numpy as np

from deeplab_tf.data.image_file import encode_png, read_image
from deeplab_tf.data.labels import VOID
from deeplab_tf.data.source import Pair
from deeplab_tf.errors import DeeplabError


def read_pair(pair: Pair) -> tuple[bytes, np.ndarray]:
    """The encoded image and its mask.

    Returns:
        The bytes of an upright 8-bit JPEG or PNG, and uint8 [H, W] of class ids and `VOID`, with
        the H and W of that image.

    Raises:
        DeeplabError: either file is missing or broken, the sizes differ, or a label is not allowed.
    """
    if not pair.image.is_file():
        raise DeeplabError(
            f"image {pair.image} is missing; add the file, or take {pair.id} off the list"
        )
    image, size, orientation = read_image(pair.image)
    if pair.mask is None:
        return image, np.full(size[::-1], VOID, np.uint8)
    try:
        mask = pair.mask.read()
    except FileNotFoundError as error:
        raise DeeplabError(
            f"image {pair.image} has no mask: {error.filename} is missing; add the file, or take "
            f"{pair.id} off the list"
        ) from error
    mask_size = mask.shape[1], mask.shape[0]
    if mask_size != size:
        cause = "they must be equal"
        if orientation > 4 and mask_size == size[::-1]:
            cause = (
                f"the image's EXIF orientation {orientation} turns it by 90 degrees and the mask "
                f"does not follow: turn the mask, or remove the EXIF tag"
            )
        raise DeeplabError(
            f"mask {pair.mask} is {_times(mask_size)} pixels and image {pair.image} is "
            f"{_times(size)}: {cause}"
        )
    return image, mask


def encode_pair(pair: Pair) -> tuple[bytes, bytes]:
    """`read_pair`, with the mask as a grey PNG of class ids and `VOID`."""
    image, mask = read_pair(pair)
    return image, encode_png(mask)


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
