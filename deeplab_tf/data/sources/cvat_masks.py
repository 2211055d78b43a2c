"""CVAT's "Segmentation mask 1.1": VOC's folders, and `labelmap.txt` with names and colours."""

from pathlib import Path

from deeplab_tf.data.sources.choices import Choices
from deeplab_tf.data.sources.find_images import visible_files
from deeplab_tf.data.sources.folder_files import without_suffix
from deeplab_tf.data.sources.labelled import counted, export_source, number_classes
from deeplab_tf.data.sources.masks import ColorMask
from deeplab_tf.data.sources.source import Pair, Source, read_list
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import Color
from deeplab_tf.images.suffixes import IMAGE_SUFFIXES

LABEL_MAP = "labelmap.txt"
MASKS, IMAGES, LISTS = "SegmentationClass", "JPEGImages", Path("ImageSets", "Segmentation")


def cvat_masks_source(root: Path, choices: Choices) -> Source:
    """Returns the images with a mask in `SegmentationClass/`, in the splits of `ImageSets/`.

    Raises:
        DeeplabError: a file of the export is missing or malformed, or two classes have one colour.
    """
    colors = _read_label_map(root / LABEL_MAP)
    if not (root / MASKS).is_dir():
        raise DeeplabError(f"{root} has no {MASKS}/; export Segmentation mask 1.1 from CVAT")
    if not (root / IMAGES).is_dir():
        raise DeeplabError(
            f"{root} has no {IMAGES}/; export again with 'Save images', or put the images there"
        )
    given: dict[str, Color | None] = {**colors}
    classes, labels = number_classes(root, given, choices)
    meaning = {color: labels[name] for name, color in colors.items()}
    meaning.setdefault((0, 0, 0), 0)  # CVAT leaves pixels without a label black
    images = {_stem(root / IMAGES, p): p for p in visible_files(root / IMAGES, IMAGE_SUFFIXES)}
    masks = {_stem(root / MASKS, p): p for p in visible_files(root / MASKS, (".png",))}
    lists = {path.stem: _read_list(path) for path in sorted((root / LISTS).glob("*.txt"))}
    lists = {name: ids for name, ids in lists.items() if ids} or {None: sorted(masks)}
    by_split = {
        split: [
            Pair(name, images.get(name, root / IMAGES / name), ColorMask(masks[name], meaning))
            for name in ids
            if name in masks
        ]
        for split, ids in lists.items()
    }
    listed = [name for ids in lists.values() for name in ids]
    notes = [
        *counted([n for n in listed if n not in masks], "listed images have no mask and were left "
                 "out"),
        *counted(sorted(masks.keys() - {*listed}), "masks are in no list and were left out"),
        *counted(sorted(images.keys() - {*listed}), "images are in no list and were left out"),
    ]  # fmt: skip
    return export_source(root, classes, by_split, notes)


def seen_cvat_masks(root: Path) -> str | None:
    """Returns the name of CVAT's label map beside its masks in `root`, or None."""
    return LABEL_MAP if (root / LABEL_MAP).is_file() and (root / MASKS).is_dir() else None


def _read_label_map(path: Path) -> dict[str, Color]:
    """Reads the lines `name:red,green,blue:parts:actions` of a label map.

    A name may have colons: the colour is the third part from the end.
    """
    colors: dict[str, Color] = {}
    for number, line in enumerate(read_list(path, f"CVAT's label map {path}"), 1):
        line = line.removeprefix("\ufeff")
        if line.startswith("#"):
            continue
        parts = line.rsplit(":", 3)
        try:
            name, color = parts[0].strip(), _color(parts[1])
        except (IndexError, ValueError) as error:
            raise DeeplabError(
                f"{path}, line {number}: {line!r} must be name:red,green,blue::"
            ) from error
        if name in colors or color in colors.values():
            raise DeeplabError(
                f"{path}, line {number}: {line!r} has a name or colour of an earlier line"
            )
        colors[name] = color
    return colors


def _color(text: str) -> Color:
    red, green, blue = (int(value) for value in text.split(","))
    if not all(0 <= value <= 255 for value in (red, green, blue)):
        raise ValueError(text)
    return red, green, blue


def _read_list(path: Path) -> list[str]:
    return [without_suffix(line.removeprefix("\ufeff")) for line in read_list(path)]


def _stem(folder: Path, path: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()
