"""A Supervisely project: `meta.json`, and for each data set `img/` and `ann/NAME.json`.

Later objects are on top.
"""

from pathlib import Path
from typing import NotRequired

import pydantic
from typing_extensions import TypedDict  # pydantic accepts no other before Python 3.12

from deeplab_tf.data.sources.bitmap import Bitmap
from deeplab_tf.data.sources.choices import Choices
from deeplab_tf.data.sources.find_images import visible_files
from deeplab_tf.data.sources.labelled import (
    Labelled,
    LabelledImage,
    counted,
    fault,
    hex_color,
    labelled_source,
)
from deeplab_tf.data.sources.outline import flat, rectangle
from deeplab_tf.data.sources.painted import Area, Shape
from deeplab_tf.data.sources.source import Source
from deeplab_tf.data.sources.tool_files import read_json
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import Color
from deeplab_tf.images.suffixes import IMAGE_SUFFIXES

META = "meta.json"
NO_AREA = ("point", "line", "graph", "cuboid", "multichannelBitmap")
_XY = tuple[float, float]


class _Class(TypedDict):
    title: str
    color: NotRequired[str]


class _Meta(TypedDict):
    classes: list[_Class]


class _Points(TypedDict):
    exterior: list[_XY]
    interior: NotRequired[list[list[_XY]]]


class _Bitmap(TypedDict):
    data: str
    origin: tuple[int, int]


class _Object(TypedDict):
    classTitle: str
    geometryType: NotRequired[str]
    points: NotRequired[_Points | None]
    bitmap: NotRequired[_Bitmap | None]


class _Size(TypedDict):
    height: pydantic.PositiveInt
    width: pydantic.PositiveInt


class _Annotation(TypedDict):
    size: _Size
    objects: list[_Object]


_META = pydantic.TypeAdapter(_Meta)
_ANNOTATION = pydantic.TypeAdapter(_Annotation)


def supervisely_source(root: Path, choices: Choices) -> Source:
    """Returns the annotated images of a project; a data set called train, val or test is a split.

    Raises:
        DeeplabError: a JSON is missing or malformed.
    """
    meta = root / META
    folders = _annotation_folders(root)
    if not meta.is_file() or not folders:
        raise DeeplabError(
            f"{root} has no {META} with DATA_SET/ann/ beside it; give the folder of a project"
        )
    classes: dict[str, Color | None] = {}
    for each in read_json(meta, _META, "Supervisely's meta.json")["classes"]:
        classes[each["title"]] = hex_color(each.get("color"))
    images, left_out, bare = [], [], []
    for folder in folders:
        found = visible_files(folder.parent / "img", IMAGE_SUFFIXES)
        by_name = {path.stem: path for path in found} | {path.name: path for path in found}
        for file in visible_files(folder, (".json",)):
            image, without = _image(root, file, by_name)
            images.append(image)
            left_out += without
        known = {each.image for each in images}
        bare += [path for path in found if path not in known]
    notes = [
        *counted(left_out, "objects have no area and were left out"),
        *counted(bare, "images have no annotation and were left out"),
    ]
    return labelled_source(root, Labelled(classes, images, "later", notes), choices)


def seen_supervisely(root: Path) -> str | None:
    """Returns the name of a project's file in `root`, or None."""
    return META if (root / META).is_file() and _annotation_folders(root) else None


def _annotation_folders(root: Path) -> list[Path]:
    return sorted(p for p in root.glob("**/ann") if p.is_dir() and (p.parent / "img").is_dir())


def _image(root: Path, file: Path, by_name: dict[str, Path]) -> tuple[LabelledImage, list[str]]:
    """Returns the image of an annotation, and a line for each object that is left out.

    An annotation is called `NAME.jpg.json`, in old projects `NAME.json`.
    """
    content = read_json(file, _ANNOTATION, "Supervisely's annotation")
    image = by_name.get(file.stem, file.parent.parent / "img" / file.stem)
    shapes, left_out, problem = [], [], None
    for number, each in enumerate(content["objects"], 1):
        if each.get("geometryType") in NO_AREA:
            left_out.append(f"object {number} of {file}")
            continue
        try:
            shapes.append((each["classTitle"], _shape(each)))
        except ValueError as error:
            problem = problem or f"object {number} {fault(error)}"
    data_set = file.parent.parent
    name = image.relative_to(data_set / "img").with_suffix("").as_posix()
    return LabelledImage(
        id=name if data_set == root else f"{data_set.relative_to(root).as_posix()}/{name}",
        image=image,
        where=str(file),
        shapes=shapes,
        size=(content["size"]["height"], content["size"]["width"]),
        split=data_set.name if data_set != root else None,
        problem=problem,
    ), left_out


def _shape(each: _Object) -> Shape:
    """Returns the pixels of an object; raises `ValueError` for an unknown or incomplete one."""
    bitmap, points = each.get("bitmap"), each.get("points")
    kind = each.get("geometryType") or ("bitmap" if bitmap else "polygon")
    if kind == "bitmap" and bitmap:
        return Bitmap(bitmap["data"], *bitmap["origin"], "zlib")
    if kind == "polygon" and points:
        holes = [flat(hole) for hole in points.get("interior", [])]
        return Area([flat(points["exterior"])], holes)
    if kind == "rectangle" and points and len(points["exterior"]) == 2:
        (x0, y0), (x1, y1) = points["exterior"]
        # Both corners are pixels of the rectangle.
        return Area([rectangle(min(x0, x1), min(y0, y1), max(x0, x1) + 1, max(y0, y1) + 1)])
    raise ValueError(f"is a {kind}, which no reader knows or whose points are missing")
