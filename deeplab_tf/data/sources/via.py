"""The VGG Image Annotator, versions 1 and 2: a project, an exported JSON, or a CSV.

The tool has no order of regions, so the smaller one is on top. A region's class is one of the
attributes that the user named in the tool.
"""

import collections
import json
import math
from pathlib import Path
from typing import Any, NotRequired

import pydantic
from typing_extensions import TypedDict  # pydantic accepts no other before Python 3.12

from deeplab_tf.data.sources.choices import Choices
from deeplab_tf.data.sources.find_images import ImageFinder, visible_files
from deeplab_tf.data.sources.labelled import (
    Labelled,
    LabelledImage,
    counted,
    fault,
    labelled_source,
    split_of,
    unlisted,
)
from deeplab_tf.data.sources.outline import ellipse, flat, rectangle
from deeplab_tf.data.sources.painted import Area
from deeplab_tf.data.sources.source import Source
from deeplab_tf.data.sources.tool_files import header_of, json_files, read_json, read_rows
from deeplab_tf.errors import DeeplabError

NO_AREA = ("point", "polyline", "line")
COLUMNS = {"filename", "region_shape_attributes", "region_attributes"}


class _Region(TypedDict):
    shape_attributes: dict[str, Any]
    region_attributes: dict[str, Any]


class _Image(TypedDict):
    filename: str
    regions: NotRequired[list[_Region] | dict[str, _Region]]


_IMAGES = pydantic.TypeAdapter(dict[str, _Image])
_PROJECT = pydantic.TypeAdapter(TypedDict("_Project", {"_via_img_metadata": dict[str, _Image]}))
_REGION = pydantic.TypeAdapter(_Region)


def via_source(root: Path, choices: Choices) -> Source:
    """Returns the images of every project, JSON and CSV of VIA in or below `root`.

    A folder `train`, `val` or `test` that holds such a file is a split. A file that repeats the
    annotations of another one in the same folder is an error, since none of the two is the newer.

    Raises:
        DeeplabError: a file is malformed, an image is in two files, or no attribute is the class.
    """
    files = _via_files(root)
    if not files:
        raise DeeplabError(f"{root} has no project, JSON or CSV of VIA; give the folder of one")
    finder = ImageFinder(root)
    found: dict[Path, tuple[Path, str, list[_Region]]] = {}
    for file in files:
        for name, regions in _read(file).items():
            image = finder.find(name, [file.parent, root / "images", root])
            if image in found:
                raise DeeplabError(
                    f"{found[image][0]} and {file} both have regions of {name}; keep one of them"
                )
            found[image] = file, name, regions
    everything = [region for _, _, regions in found.values() for region in regions]
    attribute = choices.class_attribute or _class_attribute(root, everything)
    images, left_out = [], []
    for image, (file, name, regions) in found.items():
        shapes, problem = [], None
        for number, region in enumerate(regions, 1):
            if region["shape_attributes"].get("name") in NO_AREA:
                left_out.append(f"region {number} of {name} in {file}")
                continue
            try:
                shapes.append((_class_of(region, attribute), _shape(region["shape_attributes"])))
            except (ValueError, KeyError, TypeError, OverflowError) as error:
                problem = problem or f"region {number} is malformed: {fault(error)}"
        id_ = finder.id_of(image, name)
        where = f"of image {name} in {file}"
        images.append(
            LabelledImage(id_, image, where, shapes, split=split_of(root, file), problem=problem)
        )
    notes = [
        *counted(left_out, "regions are points or lines, which have no area, and were left out"),
        *unlisted(finder, images, "images are in no file of VIA and were left out"),
    ]
    names = sorted({name for each in images for name, _ in each.shapes})
    return labelled_source(root, Labelled(dict.fromkeys(names), images, "smaller", notes), choices)


def seen_via(root: Path) -> str | None:
    """Returns the name of a project, JSON or CSV of VIA in `root`, or None."""
    return next((path.name for path in _via_files(root)), None)


def _via_files(root: Path) -> list[Path]:
    tables = [p for p in visible_files(root, (".csv",)) if _columns(p) >= COLUMNS]
    return json_files(root, _is_via) + tables


def _columns(path: Path) -> set[str]:
    return {name.lstrip("#") for name in header_of(path)}


def _is_via(content: Any) -> bool:
    if not isinstance(content, dict):
        return False
    if "_via_img_metadata" in content:
        return True
    first = next(iter(content.values()), None)
    return isinstance(first, dict) and {"filename", "regions"} <= first.keys()


def _read(file: Path) -> dict[str, list[_Region]]:
    """Returns the regions of each image by the image's file name."""
    if file.suffix.lower() == ".csv":
        return _read_table(file)
    project = b'"_via_img_metadata"' in file.read_bytes()
    if project:
        content = read_json(file, _PROJECT, "VIA's project")["_via_img_metadata"]
    else:
        content = read_json(file, _IMAGES, "VIA's JSON")
    found = {}
    for image in content.values():
        regions = image.get("regions", [])
        if image["filename"] in found:
            raise DeeplabError(f"{file} has two images called {image['filename']!r}")
        found[image["filename"]] = [*(regions.values() if isinstance(regions, dict) else regions)]
    return found


def _read_table(file: Path) -> dict[str, list[_Region]]:
    found: dict[str, list[_Region]] = collections.defaultdict(list)
    for number, row in enumerate(read_rows(file), 2):
        name = row.get("#filename") or row.get("filename") or ""
        try:
            region = _REGION.validate_python(
                {
                    "shape_attributes": json.loads(row.get("region_shape_attributes") or "{}"),
                    "region_attributes": json.loads(row.get("region_attributes") or "{}"),
                }
            )
        except (ValueError, RecursionError) as error:
            raise DeeplabError(f"{file}, line {number}: the attributes are no JSON") from error
        if not name:
            raise DeeplabError(f"{file}, line {number}: there is no file name")
        found[name] += [region] if region["shape_attributes"] else []
    return dict(found)


def _class_attribute(root: Path, regions: list[_Region]) -> str:
    """Returns the one attribute that every region has a value for."""
    filled = [{k for k, v in r["region_attributes"].items() if v} for r in regions]
    common = sorted(set.intersection(*filled)) if filled else []
    if len(common) == 1:
        return common[0]
    names = sorted(set().union(*filled))
    raise DeeplabError(
        f"no single attribute of {root} can be the class of all regions; give one by "
        f"--class_attribute. The attributes are: {', '.join(names) or 'none'}"
    )


def _class_of(region: _Region, attribute: str) -> str:
    """Returns the value of an attribute: a text, a number, or the one box that is ticked."""
    value = region["region_attributes"].get(attribute)
    if isinstance(value, dict):
        ticked = [key for key, on in value.items() if on]
        value = ticked[0] if len(ticked) == 1 else None
    text = str(value).strip() if isinstance(value, str | int | float) else ""
    if not text:
        raise ValueError(f"its attribute {attribute!r} names no class")
    return text


def _shape(shape: dict[str, Any]) -> Area:
    """Returns the pixels of a shape; raises an error for a malformed or unknown one."""

    def numbers(*names: str) -> list[float]:
        return [float(shape[name]) for name in names]

    match shape.get("name"):
        case "polygon":
            return Area([flat([*zip(shape["all_points_x"], shape["all_points_y"], strict=True)])])
        case "rect":
            x, y, width, height = numbers("x", "y", "width", "height")
            return Area([rectangle(x, y, x + width, y + height)])
        case "circle":
            x, y, radius = numbers("cx", "cy", "r")
            return Area([ellipse(x, y, radius, radius)])
        case "ellipse":
            degrees = math.degrees(float(shape.get("theta", 0)))
            x, y, across, down = numbers("cx", "cy", "rx", "ry")
            return Area([ellipse(x, y, across, down, degrees)])
    raise ValueError(f"no reader knows a {shape.get('name')!r}")
