"""Regions of all images as one COCO JSON.

Tested in tests/prediction/test_polygon_files.py, through `run_files`.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from deeplab_tf.files import digested
from deeplab_tf.images.classes import VOID, Classes
from deeplab_tf.images.regions import Region

ANNOTATIONS = "annotations"
is_coco = digested(ANNOTATIONS)
"""Recognises a COCO JSON of predictions whose annotations nobody has changed."""


def categories(classes: Classes) -> list[dict[str, Any]]:
    """Returns COCO's categories: the classes but background, numbered from 1."""
    first = 1 if classes.has_background else 0
    return [
        {"id": _category(label, classes), "name": classes.names[label], "supercategory": ""}
        for label in range(first, classes.num_classes)
    ]


def _category(label: int, classes: Classes) -> int:
    return label if classes.has_background else label + 1


def annotations(
    regions: list[Region], drawn: list[Region], classes: Classes, size: tuple[int, int]
) -> Iterator[dict[str, Any]]:
    """Yields an annotation for each region but background, without `id` and `image_id`.

    A region without holes is a polygon. One with holes is run lengths of its exact pixels, since
    COCO's polygons have no holes. Void is run lengths with `iscrowd`, which evaluations ignore.
    The box is that of the segmentation: of the exact outline where run lengths are written.

    Args:
        regions: the regions.
        drawn: the same regions with the outlines to draw, which may be simplified.
        classes: the classes.
        size: (height, width) of the image.
    """
    for exact, region in zip(regions, drawn, strict=True):
        if region.label == 0 and classes.has_background:
            continue
        void = region.label == VOID
        as_runs = void or len(region.holes) > 0
        exterior = exact.exterior if as_runs else region.exterior
        segmentation: Any = run_lengths(exact, size) if as_runs else [exterior.ravel().tolist()]
        left, top = exterior.min(axis=0).tolist()
        right, bottom = exterior.max(axis=0).tolist()
        yield {
            "category_id": 1 if void else _category(region.label, classes),
            "segmentation": segmentation,
            "area": region.pixels,
            "bbox": [left, top, right - left, bottom - top],
            "iscrowd": int(void),
        }


def run_lengths(region: Region, size: tuple[int, int]) -> dict[str, Any]:
    """Returns a region in an image of (height, width) `size` as COCO's RLE, not compressed.

    A run goes down the columns. It begins and ends at a horizontal part of an outline.
    """
    height, width = size
    places = []
    for ring in (region.exterior, *region.holes):
        for (x, y), (end, other) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            if y == other:
                places.append(np.arange(min(x, end), max(x, end), dtype=np.int64) * height + y)
    found, count = np.unique(np.concatenate(places), return_counts=True)
    # A run that ends at the foot of a column and goes on at the head of the next is one run.
    edges = found[count == 1]
    counts = np.diff([0, *edges.tolist(), height * width])
    return {"size": [height, width], "counts": counts.tolist()}
