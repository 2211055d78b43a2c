"""Connected regions of labels: their exact outlines, and small ones given to their neighbours.

Pixels are connected where they share a side (4-connectivity). GDAL finds the regions, by rasterio.
"""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np

from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOID, Classes

SIDES = 4
"""rasterio's `connectivity`."""


@dataclasses.dataclass(frozen=True)
class Region:
    """Connected pixels of one class.

    Attributes:
        label: the class id, or `VOID`.
        pixels: the number of pixels.
        exterior: the outline along the sides of pixels, [N, 2]: x, y of its corners in pixels from
            the corner of the image. The first corner does not come again at the end.
        holes: the outlines of what the region encloses, in the same form.
    """

    label: int
    pixels: int
    exterior: np.ndarray
    holes: tuple[np.ndarray, ...] = ()


def find_regions(labels: np.ndarray) -> Iterator[Region]:
    """Yields every region of labels, uint8 [H, W], which may be mapped from a file.

    The memory holds the outlines of all regions, and not their pixels.

    Raises:
        DeeplabError: rasterio is not installed.
    """
    features = import_features()
    for shape, label in features.shapes(labels, connectivity=SIDES):
        exterior, *holes = (np.array(ring[:-1], np.int32) for ring in shape["coordinates"])
        area = abs(signed_area(exterior)) - sum(abs(signed_area(hole)) for hole in holes)
        yield Region(int(label), round(area), exterior, tuple(holes))


def signed_area(ring: np.ndarray) -> float:
    """Returns the area inside a ring of x, y, [N, 2].

    The area is positive where the ring turns from the x axis towards the y axis.
    """
    x, y = (ring - ring[0]).astype(np.float64).T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def simplified(regions: list[Region], tolerance: float) -> list[Region]:
    """Returns the regions with fewer corners; neighbours keep one common border.

    A corner goes where the triangle with the corners beside it has an area below `tolerance`
    squared, in pixels, the smallest triangle first (Visvalingam and Whyatt's rule). Points where
    three regions meet and the border of the image stay, no region vanishes, and neither gaps nor
    overlaps arise.

    Args:
        regions: all regions of an image.
        tolerance: in pixels.

    Raises:
        DeeplabError: shapely is not installed.
    """
    shapely = import_shapely()
    # Borders count as common where both regions have the same corners: all those of the pixels.
    polygons = shapely.segmentize(
        np.array([shapely.Polygon(each.exterior, each.holes) for each in regions], object), 1.0
    )
    found = shapely.coverage_simplify(polygons, tolerance, simplify_boundary=False)
    return [
        dataclasses.replace(
            region,
            exterior=_corners(polygon.exterior),
            holes=tuple(_corners(ring) for ring in polygon.interiors),
        )
        for region, polygon in zip(regions, found, strict=True)
    ]


def _corners(ring) -> np.ndarray:
    """Returns the points of a ring of shapely, [N, 2], where it turns."""
    points = np.asarray(ring.coords)[:-1].astype(np.int32)  # corners of pixels, as before
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    return points[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]


def without_small_regions(labels: np.ndarray, min_area: int) -> np.ndarray:
    """Returns labels, uint8 [H, W], where each smaller region has its largest neighbour's class.

    A neighbour that is itself too small passes its own largest neighbour's class on. A region whose
    neighbours are all void or too small stays, and void stays void.

    Args:
        labels: uint8 [H, W].
        min_area: the pixels that a region must have.

    Raises:
        DeeplabError: rasterio is not installed.
    """
    features = import_features()
    known = labels != VOID
    size = min(min_area, labels.size)  # rasterio takes no larger one
    return features.sieve(labels, size, mask=None if known.all() else known, connectivity=SIDES)


def without_small_holes(labels: np.ndarray, fewest: int, classes: Classes) -> np.ndarray:
    """Returns labels, uint8 [H, W], where each smaller hole has the class around it.

    A hole is a region all of whose neighbours are of one class and which does not touch the border
    of the image. Where class 0 is the background, only its regions are holes: an object on the
    background is none. Void is neither a hole nor around one.

    Args:
        labels: uint8 [H, W].
        fewest: the pixels that a hole must have to stay.
        classes: the classes.

    Raises:
        DeeplabError: rasterio is not installed.
    """
    filled = labels.copy()
    for region in find_regions(labels):
        could_be = region.label == 0 if classes.has_background else region.label != VOID
        if could_be and region.pixels < fewest:
            _fill(region, labels, filled)
    return filled


def _fill(region: Region, labels: np.ndarray, filled: np.ndarray) -> None:
    left, top = region.exterior.min(axis=0) - 1
    right, bottom = region.exterior.max(axis=0) + 1
    if left < 0 or top < 0 or right > labels.shape[1] or bottom > labels.shape[0]:
        return
    inside = _pixels(region, left, top, right, bottom)
    near = np.zeros_like(inside)
    near[1:] |= inside[:-1]
    near[:-1] |= inside[1:]
    near[:, 1:] |= inside[:, :-1]
    near[:, :-1] |= inside[:, 1:]
    window = np.s_[top:bottom, left:right]
    around = np.unique(labels[window][near & ~inside])
    if len(around) == 1 and around[0] != VOID:
        filled[window][inside] = around[0]


def _pixels(region: Region, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """Returns bool [bottom - top, right - left] that is true in the region."""
    rings = [[*map(tuple, ring - (left, top))] for ring in (region.exterior, *region.holes)]
    polygon = {"type": "Polygon", "coordinates": [[*ring, ring[0]] for ring in rings]}
    size = bottom - top, right - left
    return import_features().rasterize([polygon], size, dtype=np.uint8) > 0


@functools.cache
def import_features():
    """Returns the module rasterio.features.

    Raises:
        DeeplabError: rasterio is not installed.
    """
    try:
        from rasterio import features
    except ImportError as error:
        raise DeeplabError(
            "polygons, areas, --min_area and --fill_holes need rasterio: pip install rasterio"
        ) from error
    return features


@functools.cache
def import_shapely():
    """Returns the module shapely.

    Raises:
        DeeplabError: shapely is not installed, or is too old.
    """
    try:
        import shapely
        from shapely import coverage_simplify  # noqa: F401, since 2.1
    except ImportError as error:
        raise DeeplabError(
            "--simplify needs shapely 2.1 or newer: pip install 'shapely>=2.1'"
        ) from error
    return shapely
