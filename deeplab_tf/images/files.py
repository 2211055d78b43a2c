"""Image files: decoded by Pillow, checked, in the form that the records store."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from deeplab_tf.errors import DeeplabError, one_line

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
"""What counts as an image in a folder; a list, a file or a pattern may name any other."""

# What Pillow raises for files that are broken in one way or another.
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
)
PNG_BIT_DEPTH, PNG_COLOR_TYPE = 24, 25  # offsets of two bytes of a PNG's header


def read_image(path: Path) -> tuple[bytes, tuple[int, int], int]:
    """The image as the records store it.

    An upright RGB or grey JPEG, or 8-bit RGB, grey or palette PNG, keeps its bytes; all else
    becomes an upright 8-bit RGB PNG, without loss where the file has 8 bits a channel.

    Returns:
        The encoded bytes, the upright (width, height), and the file's EXIF orientation, 1..8.
    """
    data = path.read_bytes()
    picture = decoded(path, data)
    turned = orientation(picture)
    if turned == 1 and _is_plain(picture, data):
        return data, picture.size, turned
    upright = _upright(picture)
    return encode_png(_to_rgb(path, upright)), upright.size, turned


def read_pixels(path: Path) -> np.ndarray:
    """The picture that `read_image` gives, as pixels: upright RGB uint8 [H, W, 3]."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DeeplabError(f"image {path} cannot be read: {error.strerror}") from error
    return pixels_of(path, data)


def pixels_of(path: Path, data: bytes) -> np.ndarray:
    """The same of the encoded image `data`, which errors call `path`."""
    return _to_rgb(path, _upright(decoded(path, data)))


def allow_huge_images() -> None:
    """Lifts Pillow's limit of 179 million pixels for this process: they were asked for."""
    Image.MAX_IMAGE_PIXELS = None


def as_png(data: bytes) -> bytes:
    """An image that `read_image` returned, as an RGB PNG."""
    return encode_png(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def decoded(path: Path, data: bytes, kind: str = "image") -> Image.Image:
    """The picture in `data`, loaded; `path` and `kind` name it in the `DeeplabError` if it is
    broken."""
    try:
        picture = Image.open(io.BytesIO(data))
        if picture.format == "PNG":
            # Loading does not look at the checksums of pixels, and can give wrong ones.
            Image.open(io.BytesIO(data)).verify()
        picture.load()
        return picture
    except Image.DecompressionBombError:
        problem = "it has more pixels than Pillow takes for honest; cut it by --tile"
        raise DeeplabError(f"{kind} {path} cannot be read: {problem}") from None
    except Image.UnidentifiedImageError:
        problem = "it is empty" if not data else "it is no image"
    except BROKEN as error:
        problem = one_line(str(error))
    raise DeeplabError(f"{kind} {path} cannot be read: {problem}; replace the file")


def encode_png(pixels: np.ndarray) -> bytes:
    """uint8 [H, W] or [H, W, 3], or uint16 [H, W], as the bytes of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def orientation(picture: Image.Image) -> int:
    """EXIF's orientation, 1..8; 1, as it is, where there is none or the header cannot be read."""
    try:
        told = picture.getexif().get(ExifTags.Base.Orientation, 1)
    except BROKEN:
        return 1
    return told if told in range(1, 9) else 1


def _upright(picture: Image.Image) -> Image.Image:
    """The picture turned by its orientation."""
    return picture if orientation(picture) == 1 else ImageOps.exif_transpose(picture)


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
