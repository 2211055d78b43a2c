"""The reading of one image and its mask, checked, in the form that the records store."""

from functools import partial
from pathlib import Path

import numpy as np

from deeplab_tf.config.image_format import RGB, ImageFormat
from deeplab_tf.data.sources.masks import Everywhere
from deeplab_tf.data.sources.source import Pair
from deeplab_tf.data.tiles import Tiling, cut
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.bands import nodata_of, read_with_missing
from deeplab_tf.images.classes import VOID
from deeplab_tf.images.files import allow_huge_images, encode_png, read_image
from deeplab_tf.images.formats import encode_bands
from deeplab_tf.images.nodata import with_void

MOST_SAMPLES, MOST_COLUMNS = 1 << 29, 1_000_000
"""TensorFlow's `decode_png` refuses grey pictures of `MOST_SAMPLES` pixels or more, or of more than
`MOST_COLUMNS` columns or rows. `encode_bands` makes a column of each band of a column, and two of a
float."""


def read_pair(pair: Pair, image_format: ImageFormat = RGB) -> tuple[bytes, np.ndarray]:
    """Reads the encoded image and the mask of a pair.

    Returns:
        The bytes of an upright 8-bit JPEG or PNG, or for another format than RGB the bytes that
        `encode_bands` returns; and the mask, uint8 [H, W] of class ids and `VOID`, with the H and W
        of the image.

    Raises:
        DeeplabError: a file is missing or broken, the sizes of image and mask differ, or the mask
            has a value or colour of no class.
    """
    _check_image_is_there(pair)
    missing = None
    if image_format.is_rgb:
        image, size, _ = read_image(pair.image)
        if nodata_of(pair.image, image_format) is not None:
            _, missing = read_with_missing(pair.image, image_format)
    else:
        pixels, missing = read_with_missing(pair.image, image_format)
        image, size = _encode_bands(pair.image, pixels), pixels.shape[1::-1]
    return image, with_void(_read_mask(pair, size, image_format), missing)


def read_decoded(pair: Pair, image_format: ImageFormat = RGB) -> tuple[np.ndarray, np.ndarray]:
    """Reads the image of a pair as pixels and the mask; see `read_with_data`."""
    return read_with_data(pair, image_format)[:2]


def read_with_data(
    pair: Pair, image_format: ImageFormat = RGB
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Reads the image of a pair as pixels, the mask, and the pixels without data.

    Returns:
        The image, [H, W, bands] of the format's dtype with 0 for values without data, and the
        mask, uint8 [H, W] of class ids and `VOID`, which pixels without data have too; and bool
        [H, W], true where no band has data, or None where there is no such pixel.

    Raises:
        DeeplabError: the same errors as those of `read_pair`.
    """
    _check_image_is_there(pair)
    pixels, missing = read_with_missing(pair.image, image_format)
    mask = _read_mask(pair, pixels.shape[1::-1], image_format)
    return pixels, with_void(mask, missing), missing


def encode_examples(
    pair: Pair, image_format: ImageFormat = RGB, tiling: Tiling | None = None
) -> list[tuple[str, bytes, bytes]]:
    """Returns the examples of a pair as tuples of an id, the encoded image and the mask as a PNG.

    Without `tiling` the pair is one example, with the image bytes that `read_pair` returns. With
    `tiling` each tile is an example, whose image is a PNG. The PNG of a mask is grey.

    Raises:
        DeeplabError: the same errors as those of `read_pair`.
    """
    if tiling is None:
        image, mask = read_pair(pair, image_format)
        return [(pair.id, image, encode_png(mask))]
    allow_huge_images()
    pixels, mask = read_decoded(pair, image_format)
    encode = encode_png if image_format.is_rgb else partial(_encode_bands, pair.image)
    return [
        (name, encode(np.ascontiguousarray(tile)), encode_png(np.ascontiguousarray(tile_mask)))
        for name, tile, tile_mask in cut(pair.id, pixels, mask, tiling)
    ]


def _encode_bands(path: Path, pixels: np.ndarray) -> bytes:
    """Encodes uint8, uint16 or float32 [H, W, bands]; refuses what TensorFlow cannot decode."""
    height, width, bands = pixels.shape
    columns = width * bands * (2 if pixels.dtype.kind == "f" else 1)
    if height * columns >= MOST_SAMPLES or max(height, columns) > MOST_COLUMNS:
        raise DeeplabError(
            f"image {path} has {size_text((width, height))} pixels of {bands} bands; TensorFlow "
            f"decodes fewer than {MOST_SAMPLES:,} values, in at most {MOST_COLUMNS:,} rows and "
            "columns of values: cut the images by deeplab-prepare --tile"
        )
    return encode_bands(pixels)


def size_text(size: tuple[int, int]) -> str:
    """Returns (width, height) as the text `WIDTHxHEIGHT`."""
    return f"{size[0]}x{size[1]}"


def _check_image_is_there(pair: Pair) -> None:
    if not pair.image.is_file():
        raise DeeplabError(
            f"image {pair.image} is missing; add the file, or take {pair.id} off the list"
        )


def _read_mask(pair: Pair, size: tuple[int, int], image_format: ImageFormat) -> np.ndarray:
    """Reads the mask of an image whose (width, height) is `size`.

    A pair without a mask has void in every pixel, or the label of `Everywhere`.
    """
    if pair.mask is None or isinstance(pair.mask, Everywhere):
        return np.full(size[::-1], VOID if pair.mask is None else pair.mask.label, np.uint8)
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
        orientation = read_image(pair.image)[2] if image_format.is_rgb else 1
        if orientation > 4 and mask_size == size[::-1]:
            cause = (
                f"the image's EXIF orientation {orientation} turns it by 90 degrees and the mask "
                f"does not follow: turn the mask, or remove the EXIF tag"
            )
        raise DeeplabError(
            f"mask {pair.mask} is {size_text(mask_size)} pixels and image {pair.image} is "
            f"{size_text(size)}: {cause}"
        )
    return mask
