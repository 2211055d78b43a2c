"""What is in the masks of a folder, before anybody says what it means.

Tested in tests/data/sources/test_describe_folder.py, through `propose`.
"""

import collections
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from deeplab_tf.data.sources.mask_files import read_mask_file
from deeplab_tf.data.sources.masks import color_name, unpack_color
from deeplab_tf.errors import DeeplabError
from deeplab_tf.parallel import in_processes

MAX_FOUND = 4096
"""The largest number of values or colours in one mask; a file with more is not a mask."""
_PIXELS_AT_ONCE = 2**22

Counts = collections.Counter[int]
"""Numbers of pixels or of masks by value, or by colour 0xRRGGBB."""


@dataclasses.dataclass
class MaskPixels:
    """The values or colours in one mask, or in all masks of a folder.

    Attributes:
        kind: `palette` or `grey` for masks of values, `color` for masks of colours.
        counts: the number of pixels for each value or colour.
        solid: the number of these pixels that are in a square of four equal pixels.
        between: the number of these pixels that lie between their two neighbours, in a line or a
            column, in every channel, and equal neither. Smoothing makes such pixels at outlines.
        outline: the number of pixels that differ from a neighbour in their line or column.
        only_top: the number of masks that have only 0 and 255, or only 0 and 65535.
        palette: for palette files, the colour 0xRRGGBB of each value that occurs.
        lossy: the format of a file that does not keep pixels, such as `JPEG`; otherwise empty.
        masks: the number of masks that have each value or colour.
    """

    kind: str
    counts: Counts = dataclasses.field(default_factory=collections.Counter)
    solid: Counts = dataclasses.field(default_factory=collections.Counter)
    between: Counts = dataclasses.field(default_factory=collections.Counter)
    outline: int = 0
    only_top: int = 0
    palette: dict[int, int] = dataclasses.field(default_factory=dict)
    lossy: str = ""
    masks: Counts = dataclasses.field(default_factory=collections.Counter)

    def renamed(self, kind: str, key: Callable[[int], int]) -> "MaskPixels":
        """Returns the counts of one mask as another kind; `key` gives each value's new name."""

        def rename(counts: Counts) -> Counts:
            renamed: Counts = collections.Counter()
            for value, count in counts.items():
                renamed[key(value)] += count
            return renamed

        return dataclasses.replace(
            self,
            kind=kind,
            counts=rename(self.counts),
            solid=rename(self.solid),
            between=rename(self.between),
            palette={},
            masks=collections.Counter(dict.fromkeys(map(key, self.masks), 1)),
        )


def look_at_masks(paths: Sequence[Path]) -> MaskPixels:
    """Counts the values or colours of all masks.

    Raises:
        DeeplabError: a file is broken or is not a mask, some masks have numbers and others colours,
            or one number has several colours in the palettes.
    """
    found = list(in_processes(look_at_mask, paths))
    found = _of_one_kind(paths, found)
    kinds = {pixels.kind for pixels in found}
    whole = MaskPixels("palette" if "palette" in kinds else next(iter(kinds)))
    for pixels in found:
        whole.counts.update(pixels.counts)
        whole.solid.update(pixels.solid)
        whole.between.update(pixels.between)
        whole.masks.update(pixels.masks)
        whole.outline += pixels.outline
        whole.only_top += set(pixels.counts) in ({0, 255}, {0, 65_535})
        whole.palette.update(pixels.palette)
        whole.lossy = whole.lossy or pixels.lossy
    return whole


def look_at_mask(path: Path) -> MaskPixels:
    """Counts the values or colours of one mask.

    Raises:
        DeeplabError: the file is broken, or has more than `MAX_FOUND` values or colours.
    """
    file = read_mask_file(path)
    seen = MaskPixels(file.kind, lossy=file.lossy)
    lines = max(2, _PIXELS_AT_ONCE // file.pixels.shape[1])
    for top in range(0, file.pixels.shape[0], lines):
        part = file.pixels[top : top + lines]
        values, places, found = np.unique(part, return_inverse=True, return_counts=True)
        seen.counts.update(dict(zip(values.tolist(), found.tolist(), strict=True)))
        if len(seen.counts) > MAX_FOUND:
            raise DeeplabError(
                f"mask {path} has more than {MAX_FOUND:,} values or colours: it is no map of "
                "classes but a photograph, or was smoothed or saved as JPEG"
            )
        seen.outline += int(_outline(part).sum())
        places = places.reshape(part.shape)
        for counter, here in ((seen.solid, _solid(part)), (seen.between, _between(part))):
            there = np.bincount(places[here], minlength=len(values))
            counter.update(dict(zip(values.tolist(), there.tolist(), strict=True)))
    seen.palette = {value: file.palette[value] for value in seen.counts if value in file.palette}
    seen.masks.update(dict.fromkeys(seen.counts, 1))
    return seen


def _solid(pixels: np.ndarray) -> np.ndarray:
    """Returns where a pixel is in a square of four equal pixels, bool [H, W]."""
    first = pixels[:-1, :-1]
    equal = (first == pixels[1:, :-1]) & (first == pixels[:-1, 1:]) & (first == pixels[1:, 1:])
    solid = np.zeros(pixels.shape, bool)
    for place in (np.s_[:-1, :-1], np.s_[1:, :-1], np.s_[:-1, 1:], np.s_[1:, 1:]):
        solid[place] |= equal
    return solid


def _outline(pixels: np.ndarray) -> np.ndarray:
    """Returns where a pixel differs from a neighbour in its line or column, bool [H, W]."""
    found = np.zeros(pixels.shape, bool)
    for here, rows in ((found, pixels), (found.T, pixels.T)):
        differ = rows[:, 1:] != rows[:, :-1]
        here[:, 1:] |= differ
        here[:, :-1] |= differ
    return found


def _between(pixels: np.ndarray) -> np.ndarray:
    """Returns where a pixel lies between two opposite neighbours and equals neither, bool."""
    bits = (0,) if pixels.dtype == np.uint16 else (24, 16, 8, 0)
    found = np.zeros(pixels.shape, bool)
    for here, rows in ((found, pixels), (found.T, pixels.T)):
        left, middle, right = rows[:, :-2], rows[:, 1:-1], rows[:, 2:]
        inside = (middle != left) & (middle != right)
        for shift in bits:
            # The mask of 16 bits keeps a number whole; a channel of a colour has 8.
            few = 0xFFFF if len(bits) == 1 else 0xFF
            a, b, c = (part >> shift & few for part in (left, middle, right))
            inside &= (np.minimum(a, c) <= b) & (b <= np.maximum(a, c))
        here[:, 1:-1] |= inside
    return found


def _of_one_kind(paths: Sequence[Path], found: list[MaskPixels]) -> list[MaskPixels]:
    """Returns the counts with numbers everywhere, or with colours everywhere.

    Colours whose channels are equal in all masks are numbers. Palettes that contradict each other
    make the colours count, where the colours are no more than the numbers.

    Raises:
        DeeplabError: numbers and colours are mixed, or the palettes do not agree.
    """
    colored = [pixels for pixels in found if pixels.kind == "color"]
    if all(_is_grey(color) for pixels in colored for color in pixels.counts):
        numbers = [
            pixels.renamed("grey", lambda color: color & 255) if pixels.kind == "color" else pixels
            for pixels in found
        ]
        return _with_one_palette(paths, numbers)
    colors = {color for pixels in colored for color in pixels.counts}
    for path, pixels in zip(paths, found, strict=True):
        if pixels.kind != "color" and not (
            pixels.kind == "palette" and colors.issuperset(pixels.palette.values())
        ):
            other = next(p for p, each in zip(paths, found, strict=True) if each.kind == "color")
            raise DeeplabError(
                f"all masks must be of one kind. Received: {other} with colours and {path} with "
                "numbers"
            )
    return [_by_color(pixels) for pixels in found]


def _is_grey(color: int) -> bool:
    return color == (color & 255) * 0x010101


def _by_color(pixels: MaskPixels) -> MaskPixels:
    if pixels.kind == "color":
        return pixels
    return pixels.renamed("color", lambda value: pixels.palette[value])


def _with_one_palette(paths: Sequence[Path], found: list[MaskPixels]) -> list[MaskPixels]:
    first: dict[int, tuple[int, Path]] = {}
    for path, pixels in zip(paths, found, strict=True):
        for value, color in pixels.palette.items():
            before, where = first.setdefault(value, (color, path))
            if before == color:
                continue
            colors = {color for each in found for color in each.palette.values()}
            if all(each.palette for each in found) and len(colors) <= len(
                {value for each in found for value in each.palette}
            ):
                return [_by_color(each) for each in found]
            names = [color_name(unpack_color(c)) for c in (before, color)]
            raise DeeplabError(
                f"the palettes of the masks contradict each other: {value} is {names[0]} in "
                f"{where} and {names[1]} in {path}; save the masks with one palette, or write "
                'dataset.json by hand: "labels" of colours ("#804080") read the colours, "labels" '
                "of values the numbers"
            )
    return found
