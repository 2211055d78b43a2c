"""Reads one image and its mask from disk, checked, in the form that the records store."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from deeplab_tf.data.labels import VOID
from deeplab_tf.data.sbd import read_mat
from deeplab_tf.data.source import Pair
from deeplab_tf.errors import DeeplabError, one_line

# What Pillow raises for files that are broken in one way or another.
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
PNG_BIT_DEPTH, PNG_COLOR_TYPE = 24, 25  # offsets of two bytes of a PNG's header


def read_pair(pair: Pair, num_classes: int, file_void: int) -> tuple[bytes, np.ndarray]:
    """The encoded image and its mask.

    Returns:
        The bytes of an upright 8-bit JPEG or PNG, and uint8 [H, W] of class ids and `VOID`, with
        the H and W of that image.

    Raises:
        DeeplabError: either file is broken, the sizes differ, or a label is not allowed.
    """
    image, size, orientation = read_image(pair.image)
    if pair.mask is None:
        return image, np.full(size[::-1], VOID, np.uint8)
    mask = read_mask(pair.mask, num_classes, file_void)
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


def read_image(path: Path) -> tuple[bytes, tuple[int, int], int]:
    """The image as the records store it.

    An upright RGB or grey JPEG, or 8-bit RGB, grey or palette PNG, keeps its bytes; all else
    becomes an upright 8-bit RGB PNG, without loss where the file has 8 bits a channel.

    Returns:
        The encoded bytes, the upright (width, height), and the file's EXIF orientation, 1..8.
    """
    data = path.read_bytes()
    picture = _decoded(path, data)
    orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
    orientation = orientation if orientation in range(1, 9) else 1
    if orientation == 1 and _is_plain(picture, data):
        return data, picture.size, orientation
    upright = ImageOps.exif_transpose(picture)
    return encode_png(_to_rgb(path, upright)), upright.size, orientation


def read_pixels(path: Path) -> np.ndarray:
    """The picture that `read_image` gives, as pixels: upright RGB uint8 [H, W, 3]."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DeeplabError(f"image {path} cannot be read: {error.strerror}") from error
    return _to_rgb(path, ImageOps.exif_transpose(_decoded(path, data)))


def as_png(data: bytes) -> bytes:
    """An image that `read_image` returned, as an RGB PNG."""
    return encode_png(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def read_mask(path: Path, num_classes: int, file_void: int) -> np.ndarray:
    """The class ids of a mask file: uint8 [H, W], 0..num_classes-1 or `VOID`.

    Args:
        path: a palette or grey PNG, where a palette's colours play no part: the indices are the
            labels. Or one of SBD's `.mat` files.
        num_classes: labels from here on are refused, but for `file_void`.
        file_void: the label that becomes `VOID`.
    """
    labels = read_mat(path) if path.suffix == ".mat" else _png_labels(path)
    wrong = (labels >= num_classes) & (labels != file_void)
    if wrong.any():
        y, x = np.argwhere(wrong)[0]
        raise DeeplabError(
            f"mask {path} has label {labels[y, x]} at pixel x={x}, y={y}; allowed are 0 to "
            f"{num_classes - 1}, and {file_void} for void"
        )
    return np.where(labels == file_void, VOID, labels).astype(np.uint8)


def _png_labels(path: Path) -> np.ndarray:
    """uint16 [H, W], the values of the pixels as the file has them."""
    data = path.read_bytes()
    picture = _decoded(path, data, kind="mask")
    if picture.format != "PNG":
        raise DeeplabError(f"mask {path} is a {picture.format} file; a mask must be a PNG")
    if picture.mode not in ("P", "L", "1", "I;16"):
        raise DeeplabError(
            f"mask {path} is a PNG of colours ({picture.mode}); a mask must be a palette or grey "
            f"PNG whose pixel values are the class numbers: turn its colours into class numbers"
        )
    labels = np.asarray(picture).astype(np.uint16)
    if picture.mode == "L":
        # Pillow stretches grey PNGs of 2 and 4 bits to 0..255.
        labels //= 255 // (2 ** data[PNG_BIT_DEPTH] - 1)
    return labels


def encode_png(pixels: np.ndarray) -> bytes:
    """uint8 [H, W] or [H, W, 3] as the bytes of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _decoded(path: Path, data: bytes, kind: str = "image") -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(data))
        picture.load()
        return picture
    except Image.UnidentifiedImageError:
        problem = "it is empty" if not data else "it is no image"
    except BROKEN as error:
        problem = one_line(str(error))
    raise DeeplabError(f"{kind} {path} cannot be read: {problem}; replace the file")


def _is_plain(picture: Image.Image, data: bytes) -> bool:
    """Whether TensorFlow reads the bytes as the same 8-bit RGB picture that Pillow sees."""
    if picture.mode not in ("RGB", "L", "P") or "transparency" in picture.info:
        return False
    return picture.format == "JPEG" or (
        picture.format == "PNG" and data[PNG_BIT_DEPTH] == 8 and data[PNG_COLOR_TYPE] in (0, 2, 3)
    )


def _to_rgb(path: Path, picture: Image.Image) -> np.ndarray:
    """uint8 [H, W, 3]; the alpha channel is dropped, of 16 bits the upper 8 stay."""
    if picture.mode in ("I", "F"):
        raise DeeplabError(
            f"image {path} has 32 bits a pixel (mode {picture.mode}); convert it to 8-bit RGB"
        )
    if picture.mode.startswith("I;16"):
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    return np.asarray(picture.convert("RGB"))


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
