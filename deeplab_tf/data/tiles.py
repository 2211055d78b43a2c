"""The cutting of huge images into overlapping tiles, each of which becomes an example."""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np


@dataclasses.dataclass(frozen=True)
class Tiling:
    """A grid of square tiles that covers an image.

    Attributes:
        size: the side of a tile in pixels.
        overlap: the number of pixels that neighbouring tiles share at least.
    """

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
    """Yields the tiles of an image [H, W, bands] and its mask [H, W], named NAME_yTOP_xLEFT.

    The last tile of a row or column ends at the image's border, so that no tile is padded. An image
    that is no larger than a tile is yielded whole, under its own `name`.
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
    """Returns the first pixel of each tile along one side of the image."""
    if side <= tiling.size:
        return [0]
    last = side - tiling.size
    return [*range(0, last, tiling.size - tiling.overlap), last]
