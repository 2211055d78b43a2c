"""Label Studio's export "JSON": polygons, rectangles and ellipses in percent, and brushes.

Later regions are on top. An image that several people labelled needs one annotation that is marked
as the ground truth.
"""

import re
import urllib.parse
from pathlib import Path
from typing import Any, NotRequired

import pydantic
from typing_extensions import TypedDict  # pydantic accepts no other before Python 3.12

from deeplab_tf.data.sources.brush import Brush
from deeplab_tf.data.sources.choices import Choices
from deeplab_tf.data.sources.find_images import ImageFinder, is_file
from deeplab_tf.data.sources.labelled import (
    Labelled,
    LabelledImage,
    counted,
    fault,
    labelled_source,
    unlisted,
)
from deeplab_tf.data.sources.outline import ellipse, rectangle
from deeplab_tf.data.sources.painted import Area, Shape
from deeplab_tf.data.sources.source import Source
from deeplab_tf.data.sources.tool_files import MAX_SNIFFED, json_files, read_json
from deeplab_tf.errors import DeeplabError

NO_AREA = (
    "keypointlabels", "keypoint", "vectorlabels", "choices", "textarea", "number", "rating",
    "relation",
)  # fmt: skip
UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""What Label Studio puts before the name of an uploaded file."""


class _Result(TypedDict):
    type: str
    id: NotRequired[str | int | None]
    value: NotRequired[dict[str, Any]]
    original_width: NotRequired[pydantic.PositiveInt]
    original_height: NotRequired[pydantic.PositiveInt]
    image_rotation: NotRequired[float | None]


class _Annotation(TypedDict):
    result: list[_Result]
    was_cancelled: NotRequired[bool | None]
    ground_truth: NotRequired[bool | None]


class _Task(TypedDict):
    data: dict[str, Any]
    annotations: NotRequired[list[_Annotation]]
    completions: NotRequired[list[_Annotation]]
    file_upload: NotRequired[str | None]


_TASKS = pydantic.TypeAdapter(list[_Task])


def label_studio_source(root: Path, choices: Choices) -> Source:
    """Returns the labelled tasks of every JSON export in or below `root`.

    Raises:
        DeeplabError: there is no export, or one is malformed or names no image.
    """
    files = json_files(root, _is_export)
    if not files:
        raise DeeplabError(f"{root} has no JSON export of Label Studio; give the folder of one")
    finder = ImageFinder(root)
    images, left_out, unlabelled = [], [], []
    for file in files:
        for number, task in enumerate(read_json(file, _TASKS, "Label Studio's JSON"), 1):
            name = _image_name(task, f"{file}, task {number}")
            annotations = task.get("annotations") or task.get("completions") or []
            kept = [each for each in annotations if not each.get("was_cancelled")]
            kept = [each for each in kept if each.get("ground_truth")] or kept
            if not kept:
                unlabelled.append(f"{name} of {file}")
                continue
            image, without = _image(name, kept, file, finder)
            images.append(image)
            left_out += without
    notes = [
        *counted(unlabelled, "tasks have no annotation and were left out"),
        *counted(left_out, "results have no area and were left out"),
        *unlisted(finder, images, "images have no labelled task and were left out"),
    ]
    names = sorted({name for each in images for name, _ in each.shapes})
    return labelled_source(root, Labelled(dict.fromkeys(names), images, "later", notes), choices)


def seen_label_studio(root: Path) -> str | None:
    """Returns the name of a JSON export of Label Studio in `root`, or None."""
    return next((path.name for path in json_files(root, _is_export, MAX_SNIFFED)), None)


def _is_export(content: Any) -> bool:
    first = content[0] if isinstance(content, list) and content else None
    return (
        isinstance(first, dict)
        and "data" in first
        and bool({"annotations", "completions"} & first.keys())
    )


def _image_name(task: _Task, where: str) -> str:
    """Returns the path of a task's image, without a server's address and upload folder."""
    fields = task["data"]
    texts = [text for text in fields.values() if isinstance(text, str)]
    found = fields.get("image") or fields.get("img") or (texts[0] if len(texts) == 1 else None)
    if not isinstance(found, str):
        raise DeeplabError(f"{where}: the data must have one field with an image, called image")
    try:
        parts = urllib.parse.urlsplit(found)
        local = urllib.parse.parse_qs(parts.query).get("d")  # /data/local-files/?d=PATH
    except ValueError as error:
        raise DeeplabError(f"{where}: {found!r} is no address of an image") from error
    return urllib.parse.unquote(local[0] if local else parts.path) or found


def _find(name: str, finder: ImageFinder) -> Path:
    """Returns the file of an uploaded image, whose name may have lost the upload's prefix."""
    short = name.replace("\\", "/").rpartition("/")[2]
    places = [finder.root, finder.root / "images"]
    image = finder.find(short, places)
    return image if is_file(image) else finder.find(UPLOADED.sub("", short), places)


def _image(
    name: str, annotations: list[_Annotation], file: Path, finder: ImageFinder
) -> tuple[LabelledImage, list[str]]:
    """Returns an image, and a line for each result that is left out."""
    image = _find(name, finder)
    problem, shapes, left_out, size = None, [], [], None
    if len(annotations) > 1:
        problem = (
            f"{len(annotations)} annotations are of this image; mark one as the ground truth in "
            "Label Studio, or delete the others"
        )
    results = annotations[0]["result"]
    separate = {
        result.get("id"): result.get("value", {}).get("labels")
        for result in results
        if result["type"] == "labels"
    }
    for number, result in enumerate(results, 1):
        kind = result["type"]
        if kind in NO_AREA:
            left_out.append(f"result {number} ({kind}) of {name} in {file}")
        if kind in (*NO_AREA, "labels"):
            continue
        try:
            fields: dict[str, Any] = {**result}
            size = fields["original_height"], fields["original_width"]
            shapes.append(_region(fields, separate.get(result.get("id")), *size))
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            problem = problem or f"result {number} ({kind}) is malformed: {fault(error)}"
    return LabelledImage(
        id=finder.id_of(image, name),
        image=image,
        where=f"of image {name} in {file}",
        shapes=shapes,
        size=size,
        problem=problem,
    ), left_out


def _region(fields: dict[str, Any], separate: Any, height: int, width: int) -> tuple[str, Shape]:
    """Returns the class and the pixels of a result; raises an error for a malformed one.

    Args:
        fields: the result.
        separate: the labels that a result of the kind `labels` has for it, or None.
        height, width: the size of the image in pixels.
    """
    value, kind = fields["value"], fields["type"]
    names = separate if separate is not None else value[kind]
    if fields.get("image_rotation"):
        raise ValueError("the image was turned in Label Studio; turn it back, or the file")
    if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
        raise ValueError(f"it must have one label. Received: {names!r}")
    return names[0], _shape(kind.removesuffix("labels"), value, height, width)


def _shape(kind: str, value: dict[str, Any], height: int, width: int) -> Shape:
    """Returns the pixels of a result; raises an error for a malformed or unknown one."""
    across, down = width / 100, height / 100

    def numbers(*names: str) -> list[float]:
        return [float(value[name]) for name in names]

    match kind:
        case "polygon" if value.get("closed", True):
            points = [(float(x) * across, float(y) * down) for x, y in value["points"]]
            return Area([[number for point in points for number in point]])
        case "rectangle":
            x, y, w, h = numbers("x", "y", "width", "height")
            left, top, right, bottom = x * across, y * down, (x + w) * across, (y + h) * down
            # Label Studio turns a rectangle about its upper left corner.
            degrees = float(value.get("rotation", 0))
            return Area([rectangle(left, top, right, bottom, degrees, (left, top))])
        case "ellipse":
            x, y, radius_x, radius_y = numbers("x", "y", "radiusX", "radiusY")
            degrees = float(value.get("rotation", 0))
            outline = ellipse(x * across, y * down, radius_x * across, radius_y * down, degrees)
            return Area([outline])
        case "brush":
            return Brush(bytes(value["rle"]))
        case "polygon":
            raise ValueError("the polygon is not closed")
    raise ValueError("no reader knows this kind")
