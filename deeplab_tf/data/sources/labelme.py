"""Labelme's JSON files, one beside each image.

Later shapes are on top, as in Labelme's own export. Lines are `LINE_WIDTH` pixels wide, as there.
A file `labels.txt`, if there is one, gives the classes and their order; Labelme's `__ignore__` in
it is void.
"""

import math
from pathlib import Path
from typing import NotRequired

import pydantic
from typing_extensions import TypedDict  # pydantic accepts no other before Python 3.12

from deeplab_tf.data.sources.bitmap import Bitmap
from deeplab_tf.data.sources.choices import Choices
from deeplab_tf.data.sources.find_images import ImageFinder, is_file, visible_files
from deeplab_tf.data.sources.labelled import (
    Labelled,
    LabelledImage,
    counted,
    fault,
    labelled_source,
    split_of,
    unlisted,
)
from deeplab_tf.data.sources.outline import ellipse, flat, rectangle, thick_line
from deeplab_tf.data.sources.painted import Area, Shape
from deeplab_tf.data.sources.source import Source, read_list
from deeplab_tf.data.sources.tool_files import MAX_SNIFFED, holds, json_files, read_json
from deeplab_tf.errors import DeeplabError

LINE_WIDTH = 10
IGNORE = "__ignore__"
LABELS_FILE = "labels.txt"
NO_AREA = ("point", "points")


class _Shape(TypedDict):
    label: str
    points: list[tuple[float, float]]
    shape_type: NotRequired[str | None]
    mask: NotRequired[str | None]


class _File(TypedDict):
    shapes: list[_Shape]
    imagePath: str
    imageHeight: NotRequired[int | None]
    imageWidth: NotRequired[int | None]
    imageData: NotRequired[str | None]


_FILE = pydantic.TypeAdapter(_File)


def labelme_source(root: Path, choices: Choices) -> Source:
    """Returns the images that have a JSON of Labelme, in or below `root`.

    A folder `train`, `val` or `test` in the path of a JSON is its split.

    Raises:
        DeeplabError: a JSON is broken or has an unknown kind of shape, or there is none.
    """
    finder = ImageFinder(root)
    files = visible_files(root, (".json",))
    if not files:
        raise DeeplabError(f"{root} has no JSON of Labelme; give the folder that has them")
    images, left_out, others = [], [], []
    for file in files:
        try:
            image, points = _read(root, file, finder)
        except DeeplabError:
            if not holds(file, _is_of_another):
                raise
            others.append(file)
            continue
        images.append(image)
        left_out += points
    notes = counted(others, "JSON files are not Labelme's and were left out")
    notes += counted(left_out, "shapes are points, which have no area, and were left out")
    notes += unlisted(finder, images, "images have no JSON and were left out")
    names = sorted({name for each in images for name, _ in each.shapes})
    if (root / LABELS_FILE).is_file():
        names = read_list(root / LABELS_FILE)
    void = tuple(name for name in names if name == IGNORE)
    classes = dict.fromkeys(names)
    return labelled_source(root, Labelled(classes, images, "later", notes, void), choices)


def seen_labelme(root: Path) -> str | None:
    """Returns the name of a JSON of Labelme in `root`, or None."""
    return next((path.name for path in json_files(root, _is_labelme, MAX_SNIFFED)), None)


def _is_labelme(content: object) -> bool:
    return isinstance(content, dict) and {"shapes", "imagePath"} <= content.keys()


def _is_of_another(content: object) -> bool:
    return not isinstance(content, dict) or not {"shapes", "imagePath"} & content.keys()


def _read(root: Path, file: Path, finder: ImageFinder) -> tuple[LabelledImage, list[str]]:
    """Returns the image of a JSON, and a line for each of its points, which are left out."""
    content = read_json(file, _FILE, "Labelme's JSON")
    # People rename an image together with its JSON, and imagePath keeps the old name.
    renamed = [file.with_name(path.name) for path in finder.of_stem(file.stem)]
    image = finder.find(content["imagePath"], [file.parent], renamed)
    if content.get("imageData") and not is_file(image):
        raise DeeplabError(
            f"image {image} is missing and only {file} holds it (imageData); write it as a file "
            "by labelme_export_json"
        )
    shapes, left_out, problem = [], [], None
    for number, shape in enumerate(content["shapes"], 1):
        if shape.get("shape_type") in NO_AREA:
            left_out.append(f"shape {number} of {file}")
            continue
        try:
            shapes.append((shape["label"], _shape(shape)))
        except (ValueError, OverflowError) as error:
            problem = problem or f"shape {number} ({shape['label']}) {fault(error)}"
    height, width = content.get("imageHeight"), content.get("imageWidth")
    return LabelledImage(
        id=finder.id_of(image, file.name),
        image=image,
        where=str(file),
        shapes=shapes,
        size=(height, width) if height and width and min(height, width) > 0 else None,
        split=split_of(root, file),
        problem=problem,
    ), left_out


def _shape(shape: _Shape) -> Shape:
    """Returns the pixels of a shape; raises `ValueError` for a kind of shape that is unknown."""
    kind, points = shape.get("shape_type") or "polygon", shape["points"]
    if kind in ("polygon", "oriented_rectangle"):
        return Area([flat(points)])
    if kind in ("line", "linestrip"):
        return Area(thick_line(points, LINE_WIDTH))
    if kind not in ("rectangle", "circle", "mask"):
        raise ValueError(f"is a {kind}, which no reader knows")
    if len(points) != 2:
        raise ValueError(f"is a {kind} of {len(points)} points; it must have 2")
    (x0, y0), (x1, y1) = points
    if kind == "rectangle":
        return Area([rectangle(x0, y0, x1, y1)])
    if kind == "circle":
        radius = math.hypot(x1 - x0, y1 - y0)
        return Area([ellipse(x0, y0, radius, radius)])
    return Bitmap(shape.get("mask") or "", round(min(x0, x1)), round(min(y0, y1)))
