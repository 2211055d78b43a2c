"""One's own COCO JSON, of any categories, as CVAT, Roboflow and others export it.

The smaller of two overlapping regions is on top, since the format has no order. A crowd is void.
"""

import collections
import dataclasses
import re
from pathlib import Path
from typing import Any, NotRequired

import numpy as np
import pydantic
from typing_extensions import TypedDict  # pydantic accepts no other before Python 3.12

from deeplab_tf.data.sources.choices import Choices
from deeplab_tf.data.sources.find_images import ImageFinder
from deeplab_tf.data.sources.labelled import (
    SPLITS,
    Labelled,
    LabelledImage,
    labelled_source,
    unlisted,
)
from deeplab_tf.data.sources.painted import Area, Shape
from deeplab_tf.data.sources.rasterise import Rle, Segmentation, rasterise
from deeplab_tf.data.sources.source import Source
from deeplab_tf.data.sources.tool_files import MAX_SNIFFED, json_files, read_json
from deeplab_tf.errors import DeeplabError


class _Annotation(TypedDict):
    image_id: int | str
    category_id: int
    segmentation: NotRequired[Segmentation]
    iscrowd: NotRequired[int | None]


class _Image(TypedDict):
    id: int | str
    file_name: str
    height: pydantic.PositiveInt
    width: pydantic.PositiveInt


class _Category(TypedDict):
    id: int
    name: str
    supercategory: NotRequired[str | None]


class _Content(TypedDict):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


_CONTENT = pydantic.TypeAdapter(_Content)
LISTS = ("images", "annotations", "categories")


@dataclasses.dataclass(frozen=True)
class RleArea:
    """A region as COCO's run lengths."""

    rle: Rle

    def pixels(self, height: int, width: int) -> np.ndarray:
        """Returns the pixels as `Shape.pixels` describes."""
        return rasterise(self.rle, height, width)


def coco_json_source(root: Path, choices: Choices) -> Source:
    """Returns the images of every COCO JSON in or below `root`.

    The split is the word train, val or test in the JSON's name or folder. The images are in
    `images/SPLIT/`, `images/`, `SPLIT/`, or beside the JSON.

    Raises:
        DeeplabError: there is no JSON, one is malformed, or two have different categories.
    """
    files = json_files(root, _is_coco)
    if not files:
        raise DeeplabError(f"{root} has no COCO JSON of images, annotations and categories")
    finder = ImageFinder(root)
    classes: dict[str, None] = {}
    images: list[LabelledImage] = []
    for file in files:
        content = read_json(file, _CONTENT, "a COCO JSON of regions")
        names = _names(content, file)
        if classes and classes != dict.fromkeys(names.values()):
            raise DeeplabError(f"{file} must have the same categories as {files[0]}")
        classes = dict.fromkeys(names.values())
        images += _images(content, names, root, file, finder)
    notes = unlisted(finder, images, "images are in no COCO JSON and were left out")
    return labelled_source(root, Labelled({**classes}, images, "smaller", notes), choices)


def seen_coco_json(root: Path) -> str | None:
    """Returns the name of a COCO JSON in `root`, or None."""
    return next((path.name for path in json_files(root, _is_coco, MAX_SNIFFED)), None)


def _is_coco(content: Any) -> bool:
    return isinstance(content, dict) and {*LISTS} <= content.keys()


def _names(content: _Content, file: Path) -> dict[int, str]:
    """Returns the names of the categories by their ids, in the order of the ids.

    A category that only groups others, as the first one of Roboflow, is none where no annotation
    has it.
    """
    used = {annotation["category_id"] for annotation in content["annotations"]}
    groups = {category.get("supercategory") for category in content["categories"]}
    names: dict[int, str] = {}
    for category in sorted(content["categories"], key=lambda category: category["id"]):
        id_, name = category["id"], category["name"].strip()
        if id_ in names or name in names.values():
            raise DeeplabError(f"{file} has the category {id_} {name!r} twice")
        alone = category.get("supercategory") in (None, "none", "", name)
        if not (id_ not in used and alone and name in groups - {None} and len(groups) > 1):
            names[id_] = name
    return names


def _images(
    content: _Content, names: dict[int, str], root: Path, file: Path, finder: ImageFinder
) -> list[LabelledImage]:
    split = _split(root, file)
    folders = [root / "images" / file.stem.removeprefix("instances_"), root / "images"]
    if split:
        folders = [root / "images" / split, root / split, *folders]
    folders += [file.parent, root]
    by_id: dict[int | str, list[_Annotation]] = collections.defaultdict(list)
    for annotation in content["annotations"]:
        by_id[annotation["image_id"]].append(annotation)
    lost = sorted(by_id.keys() - {image["id"] for image in content["images"]}, key=str)
    if lost:
        raise DeeplabError(f"{file} has annotations of image {lost[0]}, which is not in its images")
    images = []
    for each in content["images"]:
        image = finder.find(each["file_name"], folders)
        shapes, problem = [], None
        for number, annotation in enumerate(by_id[each["id"]], 1):
            name = names.get(annotation["category_id"])
            segmentation = annotation.get("segmentation")
            if name is None:
                problem = problem or (
                    f"region {number} has the category {annotation['category_id']}, which is not "
                    "declared"
                )
            elif not segmentation:
                problem = problem or f"region {number} ({name}) has only a box and no segmentation"
            else:
                shapes.append((None if annotation.get("iscrowd") else name, _shape(segmentation)))
        images.append(
            LabelledImage(
                id=finder.id_of(image, each["file_name"]),
                image=image,
                where=f"of image {each['file_name']} in {file}",
                shapes=shapes,
                size=(each["height"], each["width"]),
                split=split,
                problem=problem,
            )
        )
    return images


def _shape(segmentation: Segmentation) -> Shape:
    return Area(segmentation) if isinstance(segmentation, list) else RleArea(segmentation)


def _split(root: Path, file: Path) -> str | None:
    """Returns the word for a split in the JSON's name or in the nearest folder that has one."""
    words = re.split(r"[^a-z]+", file.stem.lower())
    folders = [part.lower() for part in reversed(file.relative_to(root).parts[:-1])]
    return next((word for word in (*words, *folders) if word in SPLITS), None)
