"""Pictures opened by Pillow: only the formats that the package means, and their orientation.

Tested in tests/images/test_picture.py.
"""

import contextlib
import functools
import importlib
import io
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import ExifTags, Image

from deeplab_tf.errors import DeeplabError

FORMATS = (
    *("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM"),
    *("AVIF", "JPEG2000", "TGA", "HEIF"),  # HEIF where pillow-heif is installed
)
"""Pillow's names of the formats that are read, whatever a file's suffix. Pillow itself would give
others to outside programs, for example an EPS to Ghostscript."""
FORMAT_NAMES = "JPEG, PNG, BMP, GIF, WebP, TIFF, PPM, PGM, AVIF, JPEG 2000 or TGA"

# The errors that Pillow raises for broken files, depending on the kind of damage.
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,  # a TIFF without its size
    RuntimeError,  # AVIF and HEIC
    EOFError,
    struct.error,
    zlib.error,
)

MAX_BLOCKS = 1 << 15
"""The largest number of PNG chunks or JPEG segments of an image that a server takes."""
_PNG = b"\x89PNG\r\n\x1a\n"
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_METADATA = (b"eXIf", b"iTXt")
_IMAGE_MAGICKS = "Raw profile type exif"
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_picture(source: bytes | Path, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """Opens an encoded picture without decoding its pixels; nothing else calls `Image.open`.

    A file is read only as far as its header, until the pixels are asked for.

    Raises:
        PIL.UnidentifiedImageError: the picture is of no format in `formats`, or its header is
            broken.
        PIL.Image.DecompressionBombError: the picture exceeds Pillow's limit of pixels.
        Exception: one of `BROKEN`.
    """
    known = [name for name in formats if name in _readable()]
    data = source if isinstance(source, Path) else io.BytesIO(source)
    return Image.open(data, formats=known)


@functools.cache
def _readable() -> frozenset[str]:
    """Returns Pillow's names of all formats that it can open here, with pillow-heif if that is."""
    with contextlib.suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()
    Image.init()
    return frozenset(Image.OPEN)


def orientation(picture: Image.Image) -> int:
    """Returns how a decoded picture is to be turned: EXIF's orientation, 1..8.

    The orientation is that of the EXIF block (JPEG, PNG, TIFF, WebP) or, where that block has none,
    of the XMP packet, as in Pillow's `ImageOps.exif_transpose`. The text in which old ImageMagick
    kept EXIF in a PNG is not read: viewers and the served graph do not read the text either. The
    value 1 is an upright picture, and also stands for a picture without a readable orientation.
    """
    try:
        if _IMAGE_MAGICKS in picture.info and "exif" not in picture.info:
            found = _XMP_ORIENTATION.search(picture.info.get("xmp", b""))
            value = int(found[1]) if found else 1
        else:
            value = picture.getexif().get(ExifTags.Base.Orientation, 1)
    except BROKEN:
        return 1
    return value if value in range(1, 9) else 1


def upright(picture: Image.Image) -> Image.Image:
    """Returns a decoded picture as a viewer shows it."""
    turn = _TURNS.get(orientation(picture))
    return picture if turn is None else picture.transpose(turn)


def upright_size(data: bytes) -> tuple[int, int]:
    """Returns the upright (height, width) of a JPEG or PNG, of which no pixel is decoded.

    Raises:
        DeeplabError: the header is broken, or there are more than `MAX_BLOCKS` blocks.
        PIL.Image.DecompressionBombError: the picture exceeds Pillow's limit of pixels.
    """
    is_png = data.startswith(_PNG)
    blocks = list(_chunks(data) if is_png else _segments(data))
    try:
        picture = open_picture(data, ("JPEG", "PNG"))
        turned = orientation(_pixel_with(data, blocks) if is_png else picture)
    except Image.UnidentifiedImageError:
        raise DeeplabError("its header cannot be read") from None
    except BROKEN as error:
        raise DeeplabError(str(error)) from error
    width, height = picture.size
    return (width, height) if turned >= 5 else (height, width)


def _pixel_with(data: bytes, blocks: list[tuple[bytes, int, int]]) -> Image.Image:
    """Returns a PNG of one pixel with the metadata of another PNG.

    Pillow decodes all pixels before it reads the orientation of a PNG, since the metadata may stand
    behind the pixels.
    """
    kept = b"".join(data[start:end] for kind, start, end in blocks if kind in _METADATA)
    file = io.BytesIO()
    Image.new("L", (1, 1)).save(file, "PNG")
    header, rest = file.getvalue()[:33], file.getvalue()[33:]
    return open_picture(header + kept + rest, ("PNG",))


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yields the type, begin and end of each whole chunk of a PNG."""
    at = len(_PNG)
    for _ in range(MAX_BLOCKS):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        if end > len(data):
            return
        yield data[at + 4 : at + 8], at, end
        at = end
    raise _too_many("chunks")


def _segments(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yields the marker, begin and end of each segment of a JPEG before the pixels.

    Each byte between two segments counts as a segment, since readers skip such bytes one by one.
    """
    at = 0
    for _ in range(MAX_BLOCKS):
        if at + 4 > len(data):
            return
        begin, marker = data[at], data[at + 1]
        if begin != 0xFF or marker in (0, 0xFF):
            end = at + 1
        elif marker in (_START_OF_SCAN, _END_OF_IMAGE):
            return
        elif marker in _WITHOUT_LENGTH:
            end = at + 2
        else:
            end = at + 2 + max(2, int.from_bytes(data[at + 2 : at + 4]))
        yield data[at : at + 2], at, end
        at = end
    raise _too_many("segments")


def _too_many(blocks: str) -> DeeplabError:
    return DeeplabError(f"it has more than {MAX_BLOCKS:,} {blocks}; save it again")
