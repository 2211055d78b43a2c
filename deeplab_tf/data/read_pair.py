"""Reads one image and its mask, checked, in the form that the records store."""

import numpy as np

from deeplab_tf.data.image_file import allow_huge_images, encode_png, read_image
from deeplab_tf.data.image_format import RGB, ImageFormat, decode_stored, encode_bands
from deeplab_tf.data.labels import VOID
from deeplab_tf.data.read_bands import read_bands
from deeplab_tf.data.source import Pair
from deeplab_tf.data.tiles import Tiling, cut
from deeplab_tf.errors import DeeplabError


def read_pair(pair: Pair, image_format: ImageFormat = RGB) -> tuple[bytes, np.ndarray]:
    """The encoded image and its mask.

    Returns:
        The bytes of an upright 8-bit JPEG or PNG, or what `encode_bands` makes of another format,
        and uint8 [H, W] of class ids and `VOID`, with the H and W of that image.

    Raises:
        DeeplabError: either file is missing or broken, the sizes differ, or a label is not allowed.
    """
    if not pair.image.is_file():
        raise DeeplabError(
            f"image {pair.image} is missing; add the file, or take {pair.id} off the list"
        )
    if image_format.is_rgb:
        image, size, orientation = read_image(pair.image)
    else:
        pixels = read_bands(pair.image, image_format)
        image, size, orientation = encode_bands(pixels), pixels.shape[1::-1], 1
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


def encode_examples(
    pair: Pair, image_format: ImageFormat = RGB, tiling: Tiling | None = None
) -> list[tuple[str, bytes, bytes]]:
    """The examples of a pair: its id, the image as `read_pair` gives it, the mask as a grey PNG.

    One, or with `tiling` its tiles, each image then a PNG.
    """
    if tiling is None:
        image, mask = read_pair(pair, image_format)
        return [(pair.id, image, encode_png(mask))]
    allow_huge_images()
    image, mask = read_pair(pair, image_format)
    pixels = decode_stored(image, image_format)
    encode = encode_png if image_format.is_rgb else encode_bands
    return [
        (name, encode(np.ascontiguousarray(part)), encode_png(np.ascontiguousarray(labels)))
        for name, part, labels in cut(pair.id, pixels, mask, tiling)
    ]


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
