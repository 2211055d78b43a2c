"""A mask that is painted from the regions which a labelling tool stores for one image."""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from PIL import Image

from deeplab_tf.data.sources.rasterise import (
    MAX_PIXELS,
    MalformedRegionError,
    Polygons,
    rasterise,
)
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.picture import BROKEN, open_picture, orientation

OnTop = Literal["later", "smaller"]
"""Which of two overlapping regions is seen: the later one in the file, or the one of fewer
pixels."""


class Shape(Protocol):
    """The pixels of a region; `repr()` of it has everything that decides them."""

    def pixels(self, height: int, width: int) -> np.ndarray:
        """Returns the pixels of the region in an image of that size: bool [height, width].

        Raises:
            MalformedRegionError: the region cannot be drawn.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Area:
    """The inside of polygons; a pixel is inside where its centre is.

    Attributes:
        polygons: the outlines; the area is their union.
        holes: outlines of what is cut out of the union.
        unit: `pixel` for points in pixels from the corner of the image, `image` for points in parts
            of the image's width and height.
    """

    polygons: Polygons
    holes: Polygons = dataclasses.field(default_factory=list)
    unit: Literal["pixel", "image"] = "pixel"

    def pixels(self, height: int, width: int) -> np.ndarray:
        """Returns the pixels as `Shape.pixels` describes; an area outside the image is an error."""
        scale = (width, height) if self.unit == "image" else (1, 1)
        polygons, holes = ([_scaled(p, *scale) for p in ps] for ps in (self.polygons, self.holes))
        inside = rasterise(polygons, height, width)
        x, y = (np.concatenate([polygon[axis::2] for polygon in polygons]) for axis in (0, 1))
        if x.max() <= 0 or y.max() <= 0 or x.min() >= width or y.min() >= height:
            raise MalformedRegionError(
                f"a region lies outside the image of {width}x{height} pixels"
            )
        return inside & ~rasterise(holes, height, width) if holes else inside


@dataclasses.dataclass(frozen=True)
class Runs:
    """Pixels of a rectangle as lengths of runs, of which the first one is outside the region.

    Attributes:
        counts: the lengths; together they cover the rectangle.
        by: `row` where a run goes along the rows, `column` where it goes down the columns.
        box: left, top, width and height of the rectangle; None for the whole image.
    """

    counts: tuple[int, ...]
    by: Literal["row", "column"]
    box: tuple[int, int, int, int] | None = None

    def pixels(self, height: int, width: int) -> np.ndarray:
        """Returns the pixels as `Shape.pixels` describes."""
        left, top, columns, rows = self.box or (0, 0, width, height)
        total = sum(self.counts)
        if min(self.counts, default=0) < 0 or min(columns, rows) < 1 or total != columns * rows:
            raise MalformedRegionError(
                f"the run lengths give {total} pixels, and their rectangle has {columns}x{rows}"
            )
        if columns * rows > MAX_PIXELS:
            raise MalformedRegionError(f"a rectangle of {columns}x{rows} pixels is too large")
        runs = np.repeat(np.arange(len(self.counts)) % 2 == 1, self.counts)
        part = runs.reshape(rows, columns) if self.by == "row" else runs.reshape(columns, rows).T
        return placed(part, left, top, height, width)


@dataclasses.dataclass(frozen=True)
class Region:
    """One region of an image.

    Attributes:
        label: the class id, or `VOID`.
        name: what the tool calls the region, for messages.
        shape: the pixels.
        crowd: whether the region is void on top of all others.
    """

    label: int
    name: str
    shape: Shape
    crowd: bool = False


@dataclasses.dataclass(frozen=True)
class PaintedMask:
    """A mask with class 0 where no region is, and one class where regions overlap.

    Attributes:
        name: the words for the mask in errors.
        image: the image file.
        regions: the regions in the order of the tool's file.
        on_top: which of two overlapping regions is seen; of two equally small ones the later one.
        size: height and width as the tool states them; None takes the size of the upright image.
        problem: why the tool's file is wrong for this image; None where it is right.
    """

    name: str
    image: Path
    regions: tuple[Region, ...]
    on_top: OnTop
    size: tuple[int, int] | None = None
    problem: str | None = None

    def __str__(self) -> str:
        return self.name

    def read(self) -> np.ndarray:
        """Paints the mask: uint8 [H, W] of class ids and `VOID`.

        Raises:
            DeeplabError: a region cannot be drawn, or later regions of other classes hide it where
                the later one is on top.
            OSError: the image has to tell the size and cannot be read.
        """
        if self.problem:
            raise DeeplabError(f"mask {self} cannot be drawn: {self.problem}")
        height, width = self.size or upright_size(self.image)
        if height * width > MAX_PIXELS:
            raise DeeplabError(
                f"mask {self} would have {width}x{height} pixels; a mask of regions must have at "
                f"most {MAX_PIXELS:,}"
            )
        pixels = functools.partial(self._pixels, height=height, width=width)
        mask = np.zeros((height, width), np.uint8)
        top = np.full((height, width), -1, np.int32)
        for number in self._order(pixels):
            covered = pixels(self.regions[number])
            mask[covered] = self.regions[number].label
            top[covered] = number
        if self.on_top == "later":
            self._check_seen(mask, top, pixels)
        return mask

    def digest(self) -> str:
        """Returns a sha256 in hex of the regions and the rule, which decide all pixels."""
        content = (self.regions, self.on_top, self.size, self.problem)
        return hashlib.sha256(repr(content).encode()).hexdigest()

    def _pixels(self, region: Region, height: int, width: int) -> np.ndarray:
        try:
            return region.shape.pixels(height, width)
        except MalformedRegionError as error:
            raise DeeplabError(f"mask {self} cannot be drawn: {region.name}: {error}") from error

    def _order(self, pixels) -> Sequence[int]:
        """Returns the places of the regions in the order of painting."""
        places = sorted(range(len(self.regions)), key=lambda n: self.regions[n].crowd)
        if self.on_top == "later" or len({region.label for region in self.regions}) < 2:
            return places
        # The regions are drawn twice, since all at once may not fit the memory.
        sizes = [np.count_nonzero(pixels(region)) for region in self.regions]
        return sorted(places, key=lambda n: (self.regions[n].crowd, -sizes[n]))

    def _check_seen(self, mask: np.ndarray, top: np.ndarray, pixels) -> None:
        """Raises `DeeplabError` for a region of which other classes hide every pixel."""
        for number in sorted({*range(len(self.regions))} - {*np.unique(top).tolist()}):
            region = self.regions[number]
            covered = pixels(region)
            if covered.any() and (mask[covered] != region.label).all():
                raise DeeplabError(
                    f"mask {self}: {region.name} is hidden by the regions after it; change their "
                    "order in the tool, or give --on_top=smaller"
                )


def upright_size(image: Path) -> tuple[int, int]:
    """Returns height and width of an image file, turned upright by its EXIF orientation.

    Raises:
        DeeplabError: the file is broken or is no image.
        OSError: the file is missing.
    """
    try:
        with open_picture(image) as picture:
            width, height = picture.size
            return (width, height) if orientation(picture) > 4 else (height, width)
    except FileNotFoundError:
        raise
    except (*BROKEN, Image.DecompressionBombError) as error:
        raise DeeplabError(f"image {image} cannot be read, so its mask has no size") from error


def placed(part: np.ndarray, left: int, top: int, height: int, width: int) -> np.ndarray:
    """Returns bool [height, width] with `part`, bool [h, w], at (left, top); the rest is False.

    Raises:
        MalformedRegionError: the part reaches beyond the image.
    """
    rows, columns = part.shape
    if left < 0 or top < 0 or left + columns > width or top + rows > height:
        raise MalformedRegionError(
            f"a bitmap of {columns}x{rows} pixels at x={left}, y={top} reaches beyond the image of "
            f"{width}x{height} pixels"
        )
    whole = np.zeros((height, width), bool)
    whole[top : top + rows, left : left + columns] = part
    return whole


def _scaled(polygon: Sequence[float], across: float, down: float) -> list[float]:
    return [value * (down if place % 2 else across) for place, value in enumerate(polygon)]
