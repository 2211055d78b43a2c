"""Huge images in overlapping tiles, each an example of its own."""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np


@dataclasses.dataclass(frozen=True)
class Tiling:
    """Square tiles of `size` pixels; neighbours share `overlap` pixels or more."""

    size: int
    overlap: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < self.size:
            raise ValueError(
                f"the overlap must be from 0 to less than the tile's size of {self.size}. "
                f"Received: {self.overlap}"
            )


def cut(
    name: str, image: np.ndarray, mask: np.ndarray, tiling: Tiling
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """The tiles of an image [H, W, bands] and its mask [H, W], named NAME_yTOP_xLEFT.

    The last ones lie at the border, so that none is padded; an image that is no larger than a tile
    is its only one, with its own name.
    """
    height, width = mask.shape
    rows, columns = (_starts(side, tiling) for side in (height, width))
    if len(rows) == len(columns) == 1:
        yield name, image, mask
        return
    for top, left in itertools.product(rows, columns):
        place = slice(top, top + tiling.size), slice(left, left + tiling.size)
        yield f"{name}_y{top:05d}_x{left:05d}", image[place], mask[place]


def _starts(side: int, tiling: Tiling) -> list[int]:
    if side <= tiling.size:
        return [0]
    last = side - tiling.size
    return [*range(0, last, tiling.size - tiling.overlap), last]
