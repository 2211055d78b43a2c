"""The reading of image files by Pillow, with checks, in the form that the records store.

Tested in tests/images/test_drawing.py and tests/data/test_read_pair.py.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.images.picture import (
    BROKEN,
    FORMAT_NAMES,
    open_picture,
    orientation,
    upright,
)

PNG_BIT_DEPTH, PNG_COLOR_TYPE = 24, 25  # offsets of two bytes of a PNG's header


def read_image(path: Path) -> tuple[bytes, tuple[int, int], int]:
    """Reads an image file as the bytes that the records store.

    An upright RGB or grey JPEG keeps its bytes, and so does an upright 8-bit RGB, grey or palette
    PNG. Every other image becomes an upright 8-bit RGB PNG, without loss where the file has 8 bits
    in each channel.

    Returns:
        The encoded bytes, the upright (width, height), and the file's EXIF orientation, 1..8.

    Raises:
        DeeplabError: the file is broken or is no image.
        OSError: the file is missing or cannot be read.
    """
    data = path.read_bytes()
    picture = decoded(path, data)
    turned = orientation(picture)
    if turned == 1 and _is_plain(picture, data):
        return data, picture.size, turned
    shown = upright(picture)
    return encode_png(_to_rgb(path, shown)), shown.size, turned


def read_pixels(path: Path) -> np.ndarray:
    """Reads an image file as pixels, upright RGB uint8 [H, W, 3], as `read_image` encodes them.

    Raises:
        DeeplabError: the file is missing, broken or no image.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DeeplabError(f"image {path} cannot be read: {error.strerror}") from error
    return pixels_of(path, data)


def pixels_of(path: Path, data: bytes) -> np.ndarray:
    """Decodes an encoded image as pixels, upright RGB uint8 [H, W, 3].

    Args:
        path: the name of the image in errors.
        data: the bytes of the image.

    Raises:
        DeeplabError: the image is broken or no image.
    """
    return picture_pixels(path, decoded(path, data))


def picture_pixels(path: Path, picture: Image.Image) -> np.ndarray:
    """Returns the pixels of an opened picture, upright RGB uint8 [H, W, 3].

    `path` is the name of the picture in errors.

    Raises:
        DeeplabError: the picture has 32 bits in a pixel.
    """
    return _to_rgb(path, upright(picture))


def allow_huge_images() -> None:
    """Lifts Pillow's limit of 179 million pixels for this process.

    Where images are to be cut into tiles, the user expects images beyond the limit.
    """
    Image.MAX_IMAGE_PIXELS = None


def as_png(data: bytes) -> bytes:
    """Encodes an image that `read_image` returned as an RGB PNG."""
    return encode_png(np.asarray(open_picture(data).convert("RGB")))


def decoded(path: Path, data: bytes, kind: str = "image") -> Image.Image:
    """Decodes the picture in `data`.

    Args:
        path: the name of the file in errors.
        data: the bytes of the file.
        kind: the word for the file in errors.

    Raises:
        DeeplabError: the picture is broken, is no image, or exceeds Pillow's limit of pixels.
    """
    try:
        picture = open_picture(data)
        if picture.format == "PNG":
            # Pillow loads a PNG without a look at the checksums of the pixels, so a damaged file
            # could give wrong pixels; `verify` checks them.
            open_picture(data).verify()
        picture.load()
        return picture
    except Image.DecompressionBombError:
        problem = (
            "it has more than 178,956,970 pixels; cut the file into smaller ones, or a data set "
            "by deeplab-prepare --tile"
        )
        raise DeeplabError(f"{kind} {path} cannot be read: {problem}") from None
    except Image.UnidentifiedImageError:
        unknown = f"it is no image of a format that is read ({FORMAT_NAMES})"
        problem = unknown if data else "it is empty"
    except BROKEN as error:
        problem = one_line(str(error))
    raise DeeplabError(f"{kind} {path} cannot be read: {problem}; replace the file")


def encode_png(pixels: np.ndarray) -> bytes:
    """Encodes uint8 [H, W] or [H, W, 3], or uint16 [H, W], as the bytes of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def orientation_of(path: Path) -> int:
    """Returns EXIF's orientation of a file that Pillow can read, 1..8, without its pixels."""
    with open_picture(path) as picture:
        return orientation(picture)


def _is_plain(picture: Image.Image, data: bytes) -> bool:
    """Returns whether TensorFlow decodes the bytes as the same 8-bit RGB picture as Pillow."""
    if picture.mode not in ("RGB", "L", "P") or "transparency" in picture.info:
        return False
    return picture.format == "JPEG" or (
        picture.format == "PNG" and data[PNG_BIT_DEPTH] == 8 and data[PNG_COLOR_TYPE] in (0, 2, 3)
    )


def _to_rgb(path: Path, picture: Image.Image) -> np.ndarray:
    """Returns a picture as RGB, uint8 [H, W, 3].

    An alpha channel is dropped, and only the upper 8 of 16 bits are kept.

    Raises:
        DeeplabError: the picture has 32 bits in a pixel.
    """
    if picture.mode in ("I", "F"):
        raise DeeplabError(
            f"image {path} has 32 bits a pixel (mode {picture.mode}); convert it to 8-bit RGB"
        )
    if picture.mode.startswith("I;16"):
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    return np.asarray(picture.convert("RGB"))
