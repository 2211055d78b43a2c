"""Roboflow's "Semantic Segmentation Masks": `NAME.jpg`, `NAME_mask.png` and `_classes.csv`.

Each of the folders `train`, `valid` and `test` has all three.
"""

from pathlib import Path

from deeplab_tf.data.sources.choices import Choices
from deeplab_tf.data.sources.find_images import visible_files
from deeplab_tf.data.sources.labelled import SPLITS, counted, export_source, number_classes
from deeplab_tf.data.sources.masks import IndexMask
from deeplab_tf.data.sources.source import Pair, Source
from deeplab_tf.data.sources.tool_files import read_rows
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.suffixes import IMAGE_SUFFIXES

CLASSES_FILE, SUFFIX = "_classes.csv", "_mask"


def roboflow_source(root: Path, choices: Choices) -> Source:
    """Returns the images with a mask, in Roboflow's splits.

    Raises:
        DeeplabError: there is no `_classes.csv`, it is malformed, or those of two splits differ.
    """
    files = _class_files(root)
    if not files:
        raise DeeplabError(
            f"{root} has no {CLASSES_FILE}, nor train/{CLASSES_FILE}; give the unpacked export"
        )
    names = {file: _read_classes(file) for file in files}
    for file in files[1:]:
        if names[file] != names[files[0]]:
            raise DeeplabError(f"{file} must have the same classes as {files[0]}")
    by_value = names[files[0]]
    classes, labels = number_classes(root, dict.fromkeys(by_value.values()), choices)
    values = {value: labels[name] for value, name in by_value.items()}
    by_split, bare, lone = {}, [], []
    for file in files:
        found = {path: path.stem for path in visible_files(file.parent, IMAGE_SUFFIXES)}
        masks = {p.with_name(stem): p for p, stem in found.items() if _is_mask(p)}
        pairs = []
        for image in sorted(found.keys() - {*masks.values()}):
            mask = masks.pop(image.with_name(image.stem + SUFFIX), None)
            if mask is None:
                bare.append(image)
            else:
                pairs.append(Pair(image.stem, image, IndexMask(mask, values)))
        lone += masks.values()
        by_split[file.parent.name if file.parent != root else None] = pairs
    notes = [
        *counted(bare, "images have no mask and were left out"),
        *counted(lone, "masks have no image and were left out"),
    ]
    return export_source(root, classes, by_split, notes)


def seen_roboflow(root: Path) -> str | None:
    """Returns the path of Roboflow's list of classes in `root`, or None."""
    return next((path.relative_to(root).as_posix() for path in _class_files(root)), None)


def _class_files(root: Path) -> list[Path]:
    inside = sorted(path for path in root.glob(f"*/{CLASSES_FILE}"))
    known = [path for path in inside if path.parent.name.lower() in SPLITS]
    own = [root / CLASSES_FILE] if (root / CLASSES_FILE).is_file() else []
    return known or own


def _read_classes(path: Path) -> dict[int, str]:
    """Returns the class name for each pixel value, from the columns `Pixel Value` and `Class`."""
    by_value: dict[int, str] = {}
    for number, row in enumerate(read_rows(path), 2):
        value, name = row.get("Pixel Value", "").strip(), row.get("Class", "").strip()
        if not (value.isascii() and value.isdigit() and int(value) <= 255 and name):
            raise DeeplabError(
                f"{path}, line {number}: a line must be a pixel value (0 to 255) and a class, "
                f"below the header 'Pixel Value, Class'"
            )
        if int(value) in by_value or name in by_value.values():
            raise DeeplabError(f"{path}, line {number}: {value} or {name!r} comes twice")
        by_value[int(value)] = name
    return by_value


def _is_mask(path: Path) -> bool:
    return path.suffix.lower() == ".png" and path.stem.endswith(SUFFIX)
