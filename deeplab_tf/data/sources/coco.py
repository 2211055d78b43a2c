"""COCO, whose masks are drawn from its instance annotations, in its 80 classes or in VOC's."""

import collections
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import NotRequired

import numpy as np
import pydantic
from typing_extensions import TypedDict  # pydantic accepts no other before Python 3.12

from deeplab_tf.data.sources.choices import Choices
from deeplab_tf.data.sources.coco_json import coco_json_source
from deeplab_tf.data.sources.rasterise import (
    MAX_PIXELS,
    MalformedRegionError,
    Segmentation,
    rasterise,
    require_pycocotools,
)
from deeplab_tf.data.sources.source import Pair, Source, check_ids, check_split_name
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.images.classes import VOC, VOID, Classes, voc_palette
from deeplab_tf.parallel import in_processes

MIN_REGION = 1000
"""An image is used for pretraining if regions of VOC's classes cover more than this number of
pixels (section 4.3)."""

COCO_VOC = dataclasses.replace(VOC, dataset="coco_voc")
_NAMES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog",
    "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella",
    "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite",
    "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange",
    "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant",
    "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone",
    "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
_GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
CATEGORIES = dict(zip((n for n in range(1, 91) if n not in _GAPS), _NAMES, strict=True))
"""COCO's 80 names by their ids."""
# VOC's name for each of COCO's names where the two data sets call a class differently.
VOC_NAMES = {
    "airplane": "aeroplane",
    "dining table": "diningtable",
    "motorcycle": "motorbike",
    "potted plant": "pottedplant",
    "couch": "sofa",
    "tv": "tvmonitor",
}


# The types below are the fields of COCO's instances file that are read; others are ignored.
class _Annotation(TypedDict):
    image_id: int
    category_id: int
    segmentation: Segmentation
    iscrowd: NotRequired[int]


class _Image(TypedDict):
    id: int
    file_name: str
    height: pydantic.PositiveInt
    width: pydantic.PositiveInt


class _Category(TypedDict):
    id: int
    name: str


class _Instances(TypedDict):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


_INSTANCES = pydantic.TypeAdapter(_Instances)


@dataclasses.dataclass(frozen=True)
class Region:
    """One annotation of an image.

    Attributes:
        label: the class id.
        segmentation: COCO's `segmentation`: polygons, or RLE that is compressed or not.
        crowd: whether the region is a crowd.
    """

    label: int
    segmentation: Segmentation
    crowd: bool


@dataclasses.dataclass(frozen=True)
class DrawnMask:
    """A mask that is drawn from the annotations of one image.

    A pixel has the class of the regions that cover the pixel. A pixel is void where regions of two
    classes overlap or a crowd is, and has class 0 where no region is.

    Attributes:
        height, width: the size of the image in pixels.
        regions: the annotations to draw.
        image_id: COCO's id of the image, for messages.
        file: the instances file, for messages.
    """

    height: int
    width: int
    regions: tuple[Region, ...]
    image_id: int
    file: Path

    def __str__(self) -> str:
        return f"of image {self.image_id} in {self.file}"

    def read(self) -> np.ndarray:
        """Draws the mask: uint8 [H, W] of class ids and `VOID`.

        Raises:
            DeeplabError: a region is malformed or of another size than the image.
        """
        mask = np.zeros((self.height, self.width), np.uint8)
        for region in self.regions:
            covered = self._rasterised(region)
            taken = covered & (mask != 0) & (mask != region.label)
            mask[covered] = VOID if region.crowd else region.label
            mask[taken] = VOID
        return mask

    def covered_pixels(self) -> int:
        """Counts the pixels that lie in a region which is not a crowd."""
        masks = [self._rasterised(region) for region in self.regions if not region.crowd]
        return int(np.logical_or.reduce(masks).sum()) if masks else 0

    def digest(self) -> str:
        """Returns a sha256 in hex of the size and the regions, which decide all pixels."""
        content = [self.height, self.width, [dataclasses.astuple(r) for r in self.regions]]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def _rasterised(self, region: Region) -> np.ndarray:
        """Draws one region as bool [H, W]; raises `DeeplabError` for a malformed one."""
        try:
            return rasterise(region.segmentation, self.height, self.width)
        except MalformedRegionError as error:
            raise DeeplabError(f"mask {self} cannot be drawn: {error}") from error


def coco_source(root: str | Path) -> Source:
    """Returns COCO in its own 80 classes and background.

    Each `annotations/instances_*.json` is a split. A folder whose categories are not COCO's is read
    by `coco_json_source`, and a note says so.

    Args:
        root: the folder that has `annotations/`, and the images of `instances_NAME.json` in `NAME/`
            or `images/NAME/`.

    Raises:
        DeeplabError: files are missing, a file is not COCO's or has more than 254 categories, or
            pycocotools is not installed.
    """
    root, files = Path(root), _instance_files(Path(root))
    splits, classes = {}, None
    for split, file in files.items():
        content = _read_instances(file)
        own = _own_classes(content, file)
        found = {category["id"]: category["name"] for category in content["categories"]}
        other = sorted(found.items() - CATEGORIES.items())
        if other:
            note = (
                f"{file} has the category {other[0][0]} {other[0][1]!r}, which COCO lacks: read as "
                "coco_json"
            )
            source = coco_json_source(root, Choices())
            return dataclasses.replace(source, notes=(note, *source.notes))
        if classes not in (None, own):
            raise DeeplabError(
                f"{file} must have the same categories as {next(iter(files.values()))}"
            )
        classes = own
        splits[split] = _pairs(root, file, content, _own_ids(content))
    assert classes is not None  # `_instance_files` returns at least one file
    return Source(classes, _full(splits))


def coco_voc_source(root: str | Path) -> Source:
    """Returns COCO in VOC's 21 classes, for pretraining (section 4.3).

    Every other class of COCO is background. Only images with more than `MIN_REGION` pixels in
    regions of VOC's classes are used.

    Args:
        root: the same folder as for `coco_source`.

    Raises:
        DeeplabError: the same errors as those of `coco_source`, or a mask cannot be drawn.
    """
    root = Path(root)
    splits, notes = {}, []
    for split, file in _instance_files(root).items():
        content = _read_instances(file)
        pairs = _pairs(root, file, content, _voc_ids(content))
        covered = in_processes(_covered_pixels, pairs)
        splits[split] = [
            pair for pair, pixels in zip(pairs, covered, strict=True) if pixels > MIN_REGION
        ]
        notes.append(
            f"{split}: {len(pairs) - len(splits[split]):,} of {len(pairs):,} images have no more "
            f"than {MIN_REGION:,} pixels of VOC's classes and were left out"
        )
    return Source(COCO_VOC, _full(splits), notes=tuple(notes))


def _covered_pixels(pair: Pair) -> int:
    return pair.mask.covered_pixels() if isinstance(pair.mask, DrawnMask) else 0


def _full(splits: dict[str, list[Pair]]) -> dict[str, list[Pair]]:
    """Returns the splits that have pairs; raises `DeeplabError` where none has."""
    splits = {split: pairs for split, pairs in splits.items() if pairs}
    if not splits:
        raise DeeplabError("no annotated image is left; check that --source is COCO's folder")
    return splits


def _instance_files(root: Path) -> dict[str, Path]:
    """Returns the instances file of each split.

    The name of a split is that in the file's name, without the year: `train` for
    `instances_train2017.json`.

    Raises:
        DeeplabError: pycocotools is not installed, there is no file, or a split has two files.
    """
    require_pycocotools()
    files = {}
    for file in sorted((root / "annotations").glob("instances_*.json")):
        split = file.stem.removeprefix("instances_").rstrip("0123456789")
        check_split_name(split, file)
        if split in files:
            raise DeeplabError(
                f"{files[split]} and {file} are both of the split {split}; keep the file of one "
                "year"
            )
        files[split] = file
    if not files:
        raise DeeplabError(
            f"source folder {root} has no annotations/instances_*.json; give the folder that has "
            "COCO's annotations and images, or --dataset=coco_json for one's own annotations"
        )
    return files


def _read_instances(file: Path) -> _Instances:
    try:
        return _INSTANCES.validate_json(file.read_bytes())
    except (OSError, pydantic.ValidationError) as error:
        first = error.errors()[0] if isinstance(error, pydantic.ValidationError) else None
        problem = f"{first['msg']} at {'.'.join(map(str, first['loc']))}" if first else str(error)
        raise DeeplabError(
            f"{file} is not COCO's instances file: {one_line(problem)[:200]}"
        ) from error


def _voc_ids(content: _Instances) -> dict[int, int]:
    """Returns VOC's class id for each of COCO's category ids.

    Categories that VOC lacks are background and have no entry.
    """
    names = {c["id"]: VOC_NAMES.get(c["name"], c["name"]) for c in content["categories"]}
    return {id_: VOC.names.index(name) for id_, name in names.items() if name in VOC.names}


def _own_ids(content: _Instances) -> dict[int, int]:
    """Returns a class id from 1 to 80 for each of COCO's category ids.

    The class ids are in the order of the category ids, which have gaps.
    """
    ids = sorted(category["id"] for category in content["categories"])
    return {id_: label for label, id_ in enumerate(ids, start=1)}


def _own_classes(content: _Instances, file: Path) -> Classes:
    categories = sorted(content["categories"], key=lambda category: category["id"])
    if len(categories) >= VOID:
        raise DeeplabError(
            f"{file} has {len(categories)} categories; {VOID - 1} are the most, since labels are "
            f"bytes, 0 is background and {VOID} is void: merge or remove categories in the file, "
            "or take --dataset=coco_voc"
        )
    names = ("background", *(category["name"] for category in categories))
    return Classes(dataset="coco", names=names, palette=voc_palette(len(names)))


def _pairs(root: Path, file: Path, content: _Instances, label_of: dict[int, int]) -> list[Pair]:
    """Returns a pair for every image of an instances file.

    The mask of a pair has the regions whose category is in `label_of`, which maps category ids to
    class ids.

    Raises:
        DeeplabError: the folder of the images is missing, an image is too large, or an id comes
            twice.
    """
    regions = collections.defaultdict(list)
    for annotation in content["annotations"]:
        label = label_of.get(annotation["category_id"])
        if label is not None:
            crowd = bool(annotation.get("iscrowd", 0))
            region = Region(label, annotation["segmentation"], crowd)
            regions[annotation["image_id"]].append(region)
    folder = file.stem.removeprefix("instances_")
    places = [place for place in (root / folder, root / "images" / folder) if place.is_dir()]
    if not places:
        raise DeeplabError(
            f"{file} needs the folder of its images, {root / folder}, which is missing; unpack the "
            "images"
        )
    pairs = []
    for image in content["images"]:
        if image["height"] * image["width"] > MAX_PIXELS:
            raise DeeplabError(
                f"{file} says that image {image['id']} has {image['width']}x{image['height']} "
                f"pixels; an image must have at most {MAX_PIXELS:,}"
            )
        found = tuple(regions[image["id"]])
        mask = DrawnMask(image["height"], image["width"], found, image["id"], file)
        name = Path(image["file_name"])
        pairs.append(Pair(name.stem, places[0] / name.name, mask))
    check_ids(pairs, file)
    return pairs
