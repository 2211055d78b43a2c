"""The drawing of COCO's segmentations, polygons and run lengths, by pycocotools.

Tested in tests/data/sources/test_painted.py.
"""

import math
from typing import Any

import numpy as np
import pydantic
from typing_extensions import TypedDict  # pydantic accepts no other before Python 3.12

from deeplab_tf.errors import DeeplabError, one_line

MAX_PIXELS = 100_000_000
"""The largest size of a mask in pixels.

No photograph is larger, and a wrong size in the annotations could fill the memory.
"""


class Rle(TypedDict):
    """COCO's run lengths, compressed as text or not; the runs go down the columns."""

    size: tuple[int, int]
    counts: str | list[pydantic.NonNegativeInt]


Polygons = list[list[float]]
"""COCO's polygons: for each the x, y, x, y, ... of its points, in pixels from the corner of the
image."""
Segmentation = Rle | Polygons


class MalformedRegionError(ValueError):
    """A region cannot be drawn; the message says why, and not in which file."""


def require_pycocotools() -> None:
    """Raises `DeeplabError` where pycocotools is not installed."""
    try:
        import pycocotools  # noqa: F401
    except ImportError as error:
        raise DeeplabError("masks of regions need pycocotools: pip install pycocotools") from error


def rasterise(segmentation: Segmentation, height: int, width: int) -> np.ndarray:
    """Draws a region as bool [height, width]; several polygons are one region.

    Raises:
        MalformedRegionError: the segmentation is malformed or of another size.
    """
    from pycocotools import mask

    problem = _problem(segmentation, height, width)
    if problem:
        raise MalformedRegionError(problem)
    given: Any = segmentation
    if isinstance(given, list):
        encoded = mask.merge(mask.frPyObjects(given, height, width))
    elif isinstance(given["counts"], list):
        encoded = mask.frPyObjects(given, height, width)
    else:
        encoded = given
    try:
        pixels = mask.decode(encoded)
    except ValueError as error:
        raise MalformedRegionError(one_line(str(error))) from error
    # Where compressed counts are too few for the image, pycocotools leaves the other pixels
    # uninitialised. Encoding the result again shows whether the counts cover the image.
    if encoded is given and mask.encode(pixels)["counts"] != encoded["counts"].encode():
        raise MalformedRegionError("its RLE does not cover the image")
    return pixels.astype(bool)


def _problem(segmentation: Segmentation, height: int, width: int) -> str | None:
    """Returns what is wrong with a segmentation that pycocotools would silently draw wrongly.

    The function returns None where it finds no fault.
    """
    if isinstance(segmentation, list):
        if not segmentation:
            return "a region has no polygon"
        for polygon in segmentation:
            if len(polygon) < 6 or len(polygon) % 2:
                return (
                    f"a polygon has {len(polygon)} numbers; a polygon must be x, y of 3 or more "
                    "points"
                )
            # pycocotools draws lines pixel by pixel even far outside of the image, which can fill
            # the memory, so points far outside are refused.
            reach = 2 * max(height, width)
            if not all(math.isfinite(value) and abs(value) <= reach for value in polygon):
                return f"a polygon reaches far outside the image of {width}x{height} pixels"
        return None
    if tuple(segmentation["size"]) != (height, width):
        return (
            f"a region has {segmentation['size'][1]}x{segmentation['size'][0]} pixels and the "
            f"image has {width}x{height}; both sizes must be equal"
        )
    counts = segmentation["counts"]
    if isinstance(counts, list) and sum(counts) != height * width:
        return f"the counts of its RLE give {sum(counts)} pixels and the image has {height * width}"
    return None
