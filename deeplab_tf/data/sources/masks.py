"""The masks of raw data sets: files of class numbers, of colours, or SBD's, as label maps."""

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
    """Where the label map of one image comes from; `str()` names it, in errors too."""

    def read(self) -> np.ndarray:
        """uint8 [H, W] of class ids and `VOID`; raises `DeeplabError` for whatever is wrong."""
        ...

    def digest(self) -> str:
        """sha256 in hex of everything that decides the labels; `OSError` if a file is missing."""
        ...


@dataclasses.dataclass(frozen=True)
class IndexMask:
    """A palette or grey PNG whose pixel values are numbers, or one of SBD's `.mat` files.

    Attributes:
        path: the file. A palette's colours play no part: the indices are the numbers.
        values: number in the file to class id or `VOID`; any other number is refused.
    """

    path: Path
    values: Mapping[int, int]

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> np.ndarray:
        """See `Mask`."""
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
        """See `Mask`."""
        return _digest(self.path, sorted(self.values.items()))


@dataclasses.dataclass(frozen=True)
class ColorMask:
    """A PNG whose colours are classes.

    Attributes:
        path: the file.
        colors: RGB to class id or `VOID`; any other colour is refused.
    """

    path: Path
    colors: Mapping[Color, int]

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> np.ndarray:
        """See `Mask`."""
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
                f"x={x}, y={y}, which is no class's; classes have "
                f"{', '.join(color_name(color) for color in self.colors)}"
            )
        return labels

    def digest(self) -> str:
        """See `Mask`."""
        return _digest(self.path, sorted(self.colors.items()))


def plain_values(num_classes: int, void: int) -> dict[int, int]:
    """`IndexMask.values` of files that have the class ids themselves and `void` for void."""
    return {**{label: label for label in range(num_classes)}, void: VOID}


def read_numbers(path: Path) -> np.ndarray:
    """The pixel values of a palette or grey PNG as the file has them: uint16 [H, W].

    Raises:
        DeeplabError: the file is broken, no PNG, or one of colours.
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
    """The colours of a PNG, packed: uint32 [H, W], 0xRRGGBB; an alpha channel is dropped.

    Raises:
        DeeplabError: the file is broken, or no PNG.
    """
    return _colors(_png(path)[0])


def read_mask_pixels(path: Path) -> tuple[str, np.ndarray, dict[int, int]]:
    """A mask of whatever kind, to be looked at.

    Returns:
        `palette` or `grey` with uint16 [H, W] of numbers, or `color` with uint32 [H, W] of
        0xRRGGBB; and a palette's colours, 0xRRGGBB by number, empty for the others.

    Raises:
        DeeplabError: the file is broken, or no PNG.
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
        # Pillow stretches grey PNGs of 2 and 4 bits to 0..255.
        numbers //= 255 // (2 ** data[PNG_BIT_DEPTH] - 1)
    return numbers


def _colors(picture: Image.Image) -> np.ndarray:
    red, green, blue = np.moveaxis(np.asarray(picture.convert("RGB")).astype(np.uint32), -1, 0)
    return (red << 16) | (green << 8) | blue


def pack_color(color: Color) -> int:
    """RGB as 0xRRGGBB."""
    return color[0] << 16 | color[1] << 8 | color[2]


def unpack_color(packed: int) -> Color:
    """0xRRGGBB as RGB."""
    return (packed >> 16, packed >> 8 & 255, packed & 255)


def color_name(color: Color) -> str:
    """RGB as `#rrggbb`."""
    return f"#{pack_color(color):06x}"


def _png(path: Path):
    """The decoded picture and the file's bytes."""
    data = path.read_bytes()
    picture = decoded(path, data, kind="mask")
    if picture.format != "PNG":
        raise DeeplabError(f"mask {path} is a {picture.format} file; a mask must be a PNG")
    return picture, data


@functools.lru_cache(maxsize=8)  # one data set has one or two such maps
def _lookup(values: tuple[tuple[int, int], ...]) -> tuple[np.ndarray, np.ndarray]:
    """By number, 0..65535: its label as uint8, and whether it is allowed."""
    table, known = np.zeros(2**16, np.uint8), np.zeros(2**16, bool)
    for number, label in values:
        table[number], known[number] = label, True
    return table, known


def _allowed(values: Mapping[int, int]) -> str:
    """The numbers of classes, as a range where they are one, and those of void."""
    classes = sorted(number for number, label in values.items() if label != VOID)
    void = sorted(number for number, label in values.items() if label == VOID)
    one_range = len(classes) > 1 and classes == list(range(classes[0], classes[-1] + 1))
    text = f"{classes[0]} to {classes[-1]}" if one_range else ", ".join(map(str, classes))
    return text + (f", and {', '.join(map(str, void))} for void" if void else "")


def _digest(path: Path, meaning: object) -> str:
    content = hashlib.sha256(path.read_bytes())
    content.update(json.dumps(meaning).encode())
    return content.hexdigest()
