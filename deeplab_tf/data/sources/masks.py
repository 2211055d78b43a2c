"""The masks of raw data sets, read as class ids.

A mask file is a PNG of numbers, a PNG of colours, or one of SBD's `.mat` files.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from deeplab_tf.data.sources.sbd import read_mat
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOID, Color
from deeplab_tf.images.files import PNG_BIT_DEPTH, decoded

NUMBERS = ("P", "L", "1", "I;16")
"""Pillow's modes of a PNG whose pixels are numbers."""


class Mask(Protocol):
    """The mask of one image, not yet read; `str()` of it names the mask, also in errors."""

    def read(self) -> np.ndarray:
        """Reads the mask: uint8 [H, W] of class ids and `VOID`.

        Raises:
            DeeplabError: the file is broken, or a pixel has a value or colour of no class.
            OSError: a file is missing or cannot be read.
        """
        ...

    def digest(self) -> str:
        """Returns a sha256 in hex of everything that decides the pixels of the mask.

        Raises:
            OSError: a file is missing or cannot be read.
        """
        ...


@dataclasses.dataclass(frozen=True)
class IndexMask:
    """A palette or grey PNG whose pixel values are numbers, or one of SBD's `.mat` files.

    Attributes:
        path: the file; the indices of a palette PNG are the numbers, whatever the colours.
        values: the class id or `VOID` for each number in the file; `read` refuses other numbers.
    """

    path: Path
    values: Mapping[int, int]

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> np.ndarray:
        """Reads the mask as `Mask.read` describes."""
        numbers = read_mat(self.path) if self.path.suffix == ".mat" else read_numbers(self.path)
        table, known = _lookup(tuple(sorted(self.values.items())))
        if not known[numbers].all():
            y, x = np.argwhere(~known[numbers])[0]
            raise DeeplabError(
                f"mask {self.path} has label {numbers[y, x]} at pixel x={x}, y={y}; allowed are "
                f"{_allowed(self.values)}"
            )
        return table[numbers]

    def digest(self) -> str:
        """Returns a sha256 in hex of the file's bytes and `values`."""
        return _digest(self.path, sorted(self.values.items()))


@dataclasses.dataclass(frozen=True)
class ColorMask:
    """A PNG whose colours stand for classes.

    Attributes:
        path: the file.
        colors: the class id or `VOID` for each RGB colour; `read` refuses other colours.
    """

    path: Path
    colors: Mapping[Color, int]

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> np.ndarray:
        """Reads the mask as `Mask.read` describes."""
        packed = read_colors(self.path)
        labels = np.zeros(packed.shape, np.uint8)
        known = np.zeros(packed.shape, bool)
        for color, label in self.colors.items():
            here = packed == pack_color(color)
            labels[here] = label
            known |= here
        if not known.all():
            y, x = np.argwhere(~known)[0]
            value = int(packed[y, x])
            raise DeeplabError(
                f"mask {self.path} has the colour {color_name(unpack_color(value))} at pixel "
                f"x={x}, y={y}; allowed are the colours of classes: "
                f"{', '.join(color_name(color) for color in self.colors)}"
            )
        return labels

    def digest(self) -> str:
        """Returns a sha256 in hex of the file's bytes and `colors`."""
        return _digest(self.path, sorted(self.colors.items()))


def plain_values(num_classes: int, void: int) -> dict[int, int]:
    """Returns `IndexMask.values` for files that store class ids, and the number `void` for void."""
    return {**{label: label for label in range(num_classes)}, void: VOID}


def read_numbers(path: Path) -> np.ndarray:
    """Reads the pixel values of a palette or grey PNG as stored in the file: uint16 [H, W].

    Raises:
        DeeplabError: the file is broken, is not a PNG, or is a PNG of colours.
    """
    picture, data = _png(path)
    if picture.mode not in NUMBERS:
        raise DeeplabError(
            f"mask {path} is a PNG of colours ({picture.mode}); a mask must be a palette or grey "
            f"PNG whose pixel values are the class numbers: turn its colours into class numbers, "
            f"or describe them in the dataset.json of --dataset=folder"
        )
    return _numbers(picture, data)


def read_colors(path: Path) -> np.ndarray:
    """Reads the colours of a PNG as uint32 [H, W] of 0xRRGGBB, without an alpha channel.

    Raises:
        DeeplabError: the file is broken or is not a PNG.
    """
    return _colors(_png(path)[0])


def read_mask_pixels(path: Path) -> tuple[str, np.ndarray, dict[int, int]]:
    """Reads the pixels of a mask of any kind, without knowledge of the classes.

    Returns:
        The kind, the pixels and the palette. The kind is `palette` or `grey` where the pixels are
        numbers, uint16 [H, W], and `color` where the pixels are colours, uint32 [H, W] of 0xRRGGBB.
        The palette has the colour 0xRRGGBB of each number; it is empty where the kind is not
        `palette`.

    Raises:
        DeeplabError: the file is broken or is not a PNG.
    """
    picture, data = _png(path)
    if picture.mode not in NUMBERS:
        return "color", _colors(picture), {}
    palette = {}
    if picture.mode == "P":
        flat = picture.getpalette("RGB") or []
        colors = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        palette = {index: pack_color(color) for index, color in enumerate(colors)}
    return "palette" if palette else "grey", _numbers(picture, data), palette


def _numbers(picture: Image.Image, data: bytes) -> np.ndarray:
    numbers = np.asarray(picture).astype(np.uint16)
    if picture.mode == "L":
        # Pillow stretches the values of grey PNGs of 2 and 4 bits to 0..255; the division restores
        # the values in the file.
        numbers //= 255 // (2 ** data[PNG_BIT_DEPTH] - 1)
    return numbers


def _colors(picture: Image.Image) -> np.ndarray:
    red, green, blue = np.moveaxis(np.asarray(picture.convert("RGB")).astype(np.uint32), -1, 0)
    return (red << 16) | (green << 8) | blue


def pack_color(color: Color) -> int:
    """Returns an RGB colour as the integer 0xRRGGBB."""
    return color[0] << 16 | color[1] << 8 | color[2]


def unpack_color(packed: int) -> Color:
    """Returns the integer 0xRRGGBB as an RGB colour."""
    return (packed >> 16, packed >> 8 & 255, packed & 255)


def color_name(color: Color) -> str:
    """Returns an RGB colour as the text `#rrggbb`."""
    return f"#{pack_color(color):06x}"


def _png(path: Path):
    """Reads a PNG and returns the decoded picture and the file's bytes."""
    data = path.read_bytes()
    picture = decoded(path, data, kind="mask")
    if picture.format != "PNG":
        raise DeeplabError(f"mask {path} is a {picture.format} file; a mask must be a PNG")
    return picture, data


@functools.lru_cache(maxsize=8)  # one data set has one or two such maps
def _lookup(values: tuple[tuple[int, int], ...]) -> tuple[np.ndarray, np.ndarray]:
    """Turns `IndexMask.values` into two tables of 65,536 entries that a mask can index.

    Returns:
        The class id or `VOID` for each number, as uint8, and whether the number is allowed, as
        bool.
    """
    table, known = np.zeros(2**16, np.uint8), np.zeros(2**16, bool)
    for number, label in values:
        table[number], known[number] = label, True
    return table, known


def _allowed(values: Mapping[int, int]) -> str:
    """Returns the numbers of the classes, as a range where possible, and of void, as text."""
    classes = sorted(number for number, label in values.items() if label != VOID)
    void = sorted(number for number, label in values.items() if label == VOID)
    one_range = len(classes) > 1 and classes == list(range(classes[0], classes[-1] + 1))
    text = f"{classes[0]} to {classes[-1]}" if one_range else ", ".join(map(str, classes))
    return text + (f", and {', '.join(map(str, void))} for void" if void else "")


def _digest(path: Path, meaning: object) -> str:
    """Returns a sha256 in hex of the file's bytes and of `meaning` as JSON."""
    content = hashlib.sha256(path.read_bytes())
    content.update(json.dumps(meaning).encode())
    return content.hexdigest()
