"""The masks of raw data sets, read as class ids.

A mask is a file of numbers, a file of colours, one file for each class, or one of SBD's `.mat`
files.
"""

import dataclasses
import errno
import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from deeplab_tf.data.sources.mask_files import TRANSPARENT, read_colors, read_numbers
from deeplab_tf.data.sources.matlab import read_mat
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOID, Color


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
    """A palette or grey file whose pixel values are numbers, or one of SBD's `.mat` files.

    Attributes:
        path: the file; the indices of a palette PNG are the numbers, whatever the colours.
        values: the class id or `VOID` for each number in the file; `read` refuses other numbers.
        lossy_is_fine: whether `path` may be a JPEG, as where `values` has wide ranges of numbers.
    """

    path: Path
    values: Mapping[int, int]
    lossy_is_fine: bool = False

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> np.ndarray:
        """Reads the mask as `Mask.read` describes."""
        if self.path.suffix == ".mat":
            numbers = read_mat(self.path)
        else:
            numbers = read_numbers(self.path, self.lossy_is_fine)
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
    """A file whose colours stand for classes.

    Attributes:
        path: the file.
        colors: the class id or `VOID` for each RGB colour; `read` refuses other colours.
        transparent: the class id or `VOID` of transparent pixels; None refuses such pixels.
    """

    path: Path
    colors: Mapping[Color, int]
    transparent: int | None = None

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> np.ndarray:
        """Reads the mask as `Mask.read` describes."""
        packed = read_colors(self.path)
        meanings = {pack_color(color): label for color, label in self.colors.items()}
        if self.transparent is not None:
            meanings[TRANSPARENT] = self.transparent
        mask = np.zeros(packed.shape, np.uint8)
        known = np.zeros(packed.shape, bool)
        for value, label in meanings.items():
            here = packed == value
            mask[here] = label
            known |= here
        if not known.all():
            raise self._unknown(packed, known)
        return mask

    def digest(self) -> str:
        """Returns a sha256 in hex of the file's bytes and of the meanings."""
        meanings: list = sorted(self.colors.items())
        if self.transparent is not None:
            meanings.append(["transparent", self.transparent])
        return _digest(self.path, meanings)

    def _unknown(self, packed: np.ndarray, known: np.ndarray) -> DeeplabError:
        y, x = np.argwhere(~known)[0]
        if packed[y, x] == TRANSPARENT:
            return DeeplabError(
                f"mask {self.path} is transparent at pixel x={x}, y={y}; say in dataset.json what "
                'this means: "transparent" in labels, as a colour, or in void'
            )
        return DeeplabError(
            f"mask {self.path} has the colour {packed_name(int(packed[y, x]))} at pixel x={x}, "
            f"y={y}; allowed are the colours of classes: "
            f"{', '.join(color_name(color) for color in self.colors)}"
        )


@dataclasses.dataclass(frozen=True)
class LayeredMask:
    """One file for each class, in which every number but 0 is the class.

    Attributes:
        layers: the files with their class ids; a later one covers an earlier one. At least one
            exists, and a missing one has no pixel of its class.
        background: the class id of the pixels that are in no layer.
    """

    layers: tuple[tuple[Path, int], ...]
    background: int

    def __str__(self) -> str:
        return str(next((path for path, _ in self.layers if path.is_file()), self.layers[0][0]))

    def read(self) -> np.ndarray:
        """Reads the mask as `Mask.read` describes."""
        mask = None
        for path, label in self._there():
            on = _only_two_values(path, read_numbers(path))
            if mask is None:
                mask = np.full(on.shape, self.background, np.uint8)
            if on.shape != mask.shape:
                raise DeeplabError(
                    f"the masks of one image must have one size. Received: {path} of "
                    f"{on.shape} pixels and {self} of {mask.shape} (height, width)"
                )
            mask[on] = label
        assert mask is not None
        return mask

    def digest(self) -> str:
        """Returns a sha256 in hex of the bytes of all files and their class ids."""
        each = [_digest(path, label) for path, label in self._there()]
        return hashlib.sha256(json.dumps([self.background, each]).encode()).hexdigest()

    def _there(self) -> list[tuple[Path, int]]:
        """Returns the layers that exist; raises `FileNotFoundError` where none does."""
        there = [(path, label) for path, label in self.layers if path.is_file()]
        if not there:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(self.layers[0][0]))
        return there


@dataclasses.dataclass(frozen=True)
class Everywhere:
    """The mask of an image that has one class in every pixel, and no file; it has no size.

    Attributes:
        label: the class id.
    """

    label: int

    def __str__(self) -> str:
        return f"class {self.label} everywhere"

    def digest(self) -> str:
        """Returns a sha256 in hex of the class id."""
        return hashlib.sha256(str(self).encode()).hexdigest()


def plain_values(num_classes: int, void: int) -> dict[int, int]:
    """Returns `IndexMask.values` for files that store class ids, and the number `void` for void."""
    return {**{label: label for label in range(num_classes)}, void: VOID}


def pack_color(color: Color) -> int:
    """Returns an RGB colour as the integer 0xRRGGBB."""
    return color[0] << 16 | color[1] << 8 | color[2]


def unpack_color(packed: int) -> Color:
    """Returns the integer 0xRRGGBB as an RGB colour."""
    return (packed >> 16, packed >> 8 & 255, packed & 255)


def color_name(color: Color) -> str:
    """Returns an RGB colour as the text `#rrggbb`."""
    return f"#{pack_color(color):06x}"


def packed_name(packed: int) -> str:
    """Returns the integer 0xRRGGBB as the text `#rrggbb`, and `TRANSPARENT` as `transparent`."""
    return "transparent" if packed == TRANSPARENT else color_name(unpack_color(packed))


def _only_two_values(path: Path, numbers: np.ndarray) -> np.ndarray:
    """Returns where a layer has its class, bool; raises `DeeplabError` for three values or more."""
    on = numbers != 0
    others = np.unique(numbers[on])
    if len(others) > 1:
        y, x = np.argwhere(numbers == others[0])[0]
        raise DeeplabError(
            f"mask {path} of one class has the values {others[0]} (at pixel x={x}, y={y}) and "
            f"{others[-1]}; it must have 0 and one other value: save it without soft edges"
        )
    return on


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
