"""Regions as Labelme's JSON, which a person opens beside the photo and corrects.

Tested in tests/prediction/test_polygon_files.py, through `run_files`.
"""

import os
import pathlib
from typing import Any

from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import ListFile, digested, never, whole_file
from deeplab_tf.images.classes import VOID, Classes
from deeplab_tf.images.regions import Region, signed_area

SHAPES = "shapes"
VERSION = "5.5.0"
"""The version of Labelme whose format is written."""
BACKGROUND, IGNORE = "_background_", "__ignore__"
"""Labelme's own names for what is no class and what is void."""
LABELS_FILE = "labels.txt"
"""The file of all names, which Labelme takes by `--labels` and `deeplab-prepare` reads."""
is_labelme = digested(SHAPES)
"""Recognises a file of `write_labelme` whose shapes nobody has changed."""


def write_labelme(
    regions: list[Region],
    classes: Classes,
    image: pathlib.Path,
    size: tuple[int, int],
    path: pathlib.Path,
    **whole: Any,
) -> None:
    """Writes the regions as polygons without holes, each before those that it encloses.

    Later shapes are on top in Labelme, so what lies in a hole is drawn over the region around it,
    background too, as `_background_`. Background at the border of the image needs no
    shape.

    Args:
        regions: all regions of the image.
        classes: the classes.
        image: the image file, which the JSON names by its path from the JSON's folder.
        size: (height, width) of the upright image.
        path: the file to write.
        whole: `within` and `durable` of `whole_file`.
    """
    # A region that encloses another one has a larger area inside its exterior.
    ordered = sorted(regions, key=lambda region: -abs(signed_area(region.exterior)))
    head = {"version": VERSION, "flags": {}}
    with (
        whole_file(path, is_labelme, **whole) as temporary,
        temporary.open("w", encoding="utf-8") as file,
    ):
        written = ListFile(file, SHAPES, head)
        written.add(
            _shape(region, classes)
            for region in ordered
            if region.label or not classes.has_background or not _touches_border(region, size)
        )
        written.finish(
            {
                "imagePath": relative_path(image, path.parent),
                "imageData": None,
                "imageHeight": size[0],
                "imageWidth": size[1],
            }
        )


def _touches_border(region: Region, size: tuple[int, int]) -> bool:
    """Returns whether a region has a pixel at the border, and so lies in no other one's hole."""
    low, high = region.exterior.min(axis=0), region.exterior.max(axis=0)
    return bool(low.min() == 0 or high[0] == size[1] or high[1] == size[0])


def _shape(region: Region, classes: Classes) -> dict[str, Any]:
    return {
        "label": label_name(region.label, classes),
        "points": region.exterior.astype(float).tolist(),
        "group_id": None,
        "description": "",
        "shape_type": "polygon",
        "flags": {},
        "mask": None,
    }


def label_name(label: int, classes: Classes) -> str:
    """Returns Labelme's name of a class id or of `VOID`."""
    if label == VOID:
        return IGNORE
    return BACKGROUND if label == 0 and classes.has_background else classes.names[label]


def write_names(folder: pathlib.Path, classes: Classes, within: pathlib.Path | None = None) -> None:
    """Writes the names of all classes, and leaves a `LABELS_FILE` that has them as it is.

    `within` is that of `whole_file`.

    Raises:
        DeeplabError: as `check_names` does.
    """
    if not check_names(folder, classes):
        with whole_file(folder / LABELS_FILE, never, within=within) as temporary:
            temporary.write_text("\n".join(_names(classes)) + "\n", encoding="utf-8", newline="\n")


def check_names(folder: pathlib.Path, classes: Classes) -> bool:
    """Returns whether the folder has a `LABELS_FILE`, which may be a person's and have more names.

    Blanks around a name and the kind of line ends do not matter.

    Raises:
        DeeplabError: the file lacks a name of the classes, background or void.
    """
    path = folder / LABELS_FILE
    if not path.is_file() or not path.stat().st_size:
        return False
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    found = {line.strip() for line in text.splitlines()}
    if lacking := [name for name in _names(classes) if name not in found]:
        raise DeeplabError(
            f"{path} must have the names of all classes. It lacks {', '.join(lacking)}; add a line "
            "for each, or write elsewhere"
        )
    return True


def _names(classes: Classes) -> list[str]:
    return [label_name(label, classes) for label in (VOID, *range(classes.num_classes))]


def relative_path(image: pathlib.Path, folder: pathlib.Path) -> str:
    """Returns the path from a folder to an image, with slashes; the whole one on another drive."""
    try:
        path = os.path.relpath(image.resolve(), folder.resolve())
    except ValueError:  # Windows has no path from one drive to another
        path = str(image.resolve())
    return pathlib.Path(path).as_posix()
