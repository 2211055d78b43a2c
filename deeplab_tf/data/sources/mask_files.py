"""The pixels of mask files as they are stored: numbers or colours, whatever they mean.

Tested in tests/data/sources/test_masks.py, through `IndexMask`.
"""

import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image

from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.images.files import PNG_BIT_DEPTH, decoded
from deeplab_tf.images.picture import BROKEN, open_picture
from deeplab_tf.images.suffixes import IMAGE_SUFFIXES

MASK_SUFFIXES = IMAGE_SUFFIXES
"""The suffixes of the files that count as masks in a folder of masks."""
TRANSPARENT = 1 << 24
"""The pixel of a transparent place in a mask of colours; no colour 0xRRGGBB has this number."""

NUMBERS = ("P", "L", "1", "I;16", "I;16B", "I", "F")
"""Pillow's modes of a file whose pixels are numbers."""
_LOSSY = ("JPEG", "MPO", "JPEG2000", "AVIF", "HEIF")


@dataclasses.dataclass(frozen=True)
class MaskFile:
    """The pixels of one mask file.

    Attributes:
        kind: `palette` or `grey` where the pixels are numbers, `color` where they are colours.
        pixels: uint16 [H, W] of numbers; or uint32 [H, W] of colours 0xRRGGBB and `TRANSPARENT`.
        palette: for the kind `palette`, the colour 0xRRGGBB of each number; otherwise empty.
        lossy: the file's format where it changes pixels when it is written, such as `JPEG`;
            otherwise empty.
    """

    kind: str
    pixels: np.ndarray
    palette: dict[int, int]
    lossy: str


def read_mask_file(path: Path) -> MaskFile:
    """Reads a mask file of any kind, without knowledge of the classes.

    The colours of a GIF count and not the numbers of its palette, which whoever writes a GIF orders
    anew.

    Raises:
        DeeplabError: the file is broken, has several pictures, colours of 16 bits, soft edges by
            transparency, or numbers that are not whole or not 0 to 65535.
        OSError: the file is missing or cannot be read.
    """
    picture, data = _opened(path)
    lossy = _lossy(picture, data)
    if picture.mode not in NUMBERS or (picture.format == "GIF" and picture.mode == "P"):
        return MaskFile("color", _colors(path, picture, data), {}, lossy)
    palette = {}
    if picture.mode == "P":
        flat = picture.getpalette("RGB") or []
        colors = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        palette = {index: r << 16 | g << 8 | b for index, (r, g, b) in enumerate(colors)}
    kind = "palette" if palette else "grey"
    return MaskFile(kind, _numbers(path, picture, data), palette, lossy)


def read_numbers(path: Path, lossy_is_fine: bool = False) -> np.ndarray:
    """Reads the numbers in a mask file as stored: uint16 [H, W].

    A picture of colours whose three channels are equal everywhere has the numbers of a channel.

    Args:
        path: the file.
        lossy_is_fine: whether a JPEG, whose numbers are not exact, is read as well.

    Raises:
        DeeplabError: the errors of `read_mask_file`, or the file has colours, or is lossy.
    """
    file = read_mask_file(path)
    if file.lossy and not lossy_is_fine:
        raise DeeplabError(
            f"mask {path} is a {file.lossy} file, which changes labels; a mask must be a PNG, TIFF "
            f"or BMP, or have ranges of values as labels in the dataset.json of --dataset=folder"
        )
    if file.kind != "color":
        return file.pixels
    numbers = grey_numbers(file.pixels)
    if not (file.pixels == numbers * np.uint32(0x010101)).all():
        raise DeeplabError(
            f"mask {path} is a picture of colours; a mask must be a palette or grey PNG whose "
            f"pixel values are the class numbers: turn its colours into class numbers, or describe "
            f"them in the dataset.json of --dataset=folder"
        )
    return numbers


def grey_numbers(colors: np.ndarray) -> np.ndarray:
    """Returns the blue channel of colours 0xRRGGBB, the number of a grey pixel, as uint16."""
    return (colors & 255).astype(np.uint16)


def read_colors(path: Path) -> np.ndarray:
    """Reads the colours of a mask file: uint32 [H, W] of 0xRRGGBB and `TRANSPARENT`.

    Raises:
        DeeplabError: the errors of `read_mask_file`, or the file is lossy.
    """
    picture, data = _opened(path)
    lossy = _lossy(picture, data)
    if lossy:
        raise DeeplabError(
            f"mask {path} is a {lossy} file, which changes colours; save it as PNG again from the "
            "original annotations"
        )
    return _colors(path, picture, data)


def _opened(path: Path) -> tuple[Image.Image, bytes]:
    """Returns the only picture of a file, decoded, and the file's bytes."""
    data = path.read_bytes()
    picture = decoded(path, data, kind="mask")
    try:
        frames = _frames(open_picture(data))
    except BROKEN as error:
        problem = one_line(str(error))
        raise DeeplabError(f"mask {path} cannot be read: {problem}; replace the file") from error
    if frames > 1:
        raise DeeplabError(f"mask {path} has {frames} pictures; a mask must be one picture")
    return picture, data


def _frames(picture: Image.Image) -> int:
    """Returns the number of pictures in a file, without the smaller copies in a TIFF."""
    frames, size = getattr(picture, "n_frames", 1), picture.size
    if picture.format != "TIFF":
        return frames
    count = 1
    for frame in range(1, frames):
        picture.seek(frame)
        count += picture.width >= size[0] or picture.height >= size[1]
    return count


def _lossy(picture: Image.Image, data: bytes) -> str:
    """Returns the format of a file whose pixels are not what was saved; empty for any other."""
    lossy_webp = picture.format == "WEBP" and b"VP8L" not in data[:4096]
    return picture.format or "" if picture.format in _LOSSY or lossy_webp else ""


def _numbers(path: Path, picture: Image.Image, data: bytes) -> np.ndarray:
    numbers = np.asarray(picture)
    if picture.mode in ("I", "F"):
        whole = (numbers >= 0) & (numbers <= 65_535) & (numbers == np.floor(numbers))
        if not whole.all():
            y, x = np.argwhere(~whole)[0]
            raise DeeplabError(
                f"mask {path} has {numbers[y, x]} at pixel x={x}, y={y}; the values of a mask must "
                "be whole numbers from 0 to 65535"
            )
    numbers = numbers.astype(np.uint16)
    if picture.format == "PNG" and picture.mode == "L":
        # Pillow stretches the values of grey PNGs of 2 and 4 bits to 0..255; the division restores
        # the values in the file.
        numbers //= 255 // (2 ** data[PNG_BIT_DEPTH] - 1)
    return numbers


def _colors(path: Path, picture: Image.Image, data: bytes) -> np.ndarray:
    deep_png = picture.format == "PNG" and data[PNG_BIT_DEPTH] == 16
    if deep_png or picture.mode.startswith("I") or picture.mode == "F":
        # Pillow would cut the values to 8 bits, and two labels could become one.
        raise DeeplabError(
            f"mask {path} has colours of 16 bits; save it with 8 bits a channel, or as one channel "
            "of numbers"
        )
    if not picture.has_transparency_data:
        return _packed(np.asarray(picture.convert("RGB")))
    pixels = np.asarray(picture.convert("RGBA"))
    alpha = pixels[..., 3]
    soft = (alpha > 0) & (alpha < 255)
    if soft.any():
        y, x = np.argwhere(soft)[0]
        raise DeeplabError(
            f"mask {path} is half transparent at pixel x={x}, y={y} (alpha {alpha[y, x]}); it was "
            "smoothed: save it with alpha 0 and 255 only"
        )
    packed = _packed(pixels)
    packed[alpha == 0] = TRANSPARENT
    return packed


def _packed(pixels: np.ndarray) -> np.ndarray:
    """Returns the first three channels of uint8 [H, W, channels] as uint32 [H, W] of 0xRRGGBB."""
    packed = pixels[..., 0].astype(np.uint32)
    for channel in (1, 2):
        packed <<= 8
        packed |= pixels[..., channel]
    return packed
