"""The areas of the classes as CSV: one row for each image and class.

Tested in tests/prediction/test_write_outputs.py, through `run_files`.
"""

import csv
import pathlib
from collections import Counter
from typing import TextIO

import numpy as np

from deeplab_tf.images.classes import VOID, Classes
from deeplab_tf.images.map_frame import MapFrame
from deeplab_tf.images.regions import Region

HEADER = ("image", "class_id", "class", "pixels", "share", "regions", "area", "unit")
Row = tuple[str | int | float, ...]
"""The values of `HEADER`."""
_CHUNK = 1 << 24


def is_areas(path: pathlib.Path) -> bool:
    """Recognises a CSV of areas by its first line."""
    with path.open("rb") as file:
        return file.readline().strip() == ",".join(HEADER).encode()


def write_rows(file: TextIO, rows: list[Row]) -> None:
    """Writes rows of a CSV with commas; a name with a comma is quoted."""
    csv.writer(file, lineterminator="\n").writerows(rows)


def area_rows(
    image: str,
    labels: np.ndarray,
    regions: list[Region],
    classes: Classes,
    frame: MapFrame | None,
) -> list[Row]:
    """Returns a row for each class, also those without pixels, and one for void where it is.

    `share` is that of the pixels which are not void, and 0 for void. `area` is in square `unit`s of
    the map, and both are empty where the image has none.

    Args:
        image: the name of the image.
        labels: uint8 [H, W].
        regions: their regions.
        classes: the classes.
        frame: the place on the map.
    """
    flat = labels.reshape(-1)
    pixels = sum(
        np.bincount(flat[begin : begin + _CHUNK], minlength=VOID + 1)
        for begin in range(0, flat.size, _CHUNK)
    )
    assert isinstance(pixels, np.ndarray)  # an image has a pixel
    known = max(1, int(pixels[: classes.num_classes].sum()))
    counts = Counter(region.label for region in regions)
    unit = frame.unit if frame is not None else None
    rows: list[Row] = []
    for label in (*range(classes.num_classes), *([VOID] if pixels[VOID] else [])):
        count = int(pixels[label])
        share = count / known if label != VOID else 0.0
        area = count * frame.pixel_area if frame is not None and unit else ""
        name = classes.name_of(label)
        rows.append((image, label, name, count, f"{share:.6f}", counts[label], area, unit or ""))
    return rows
