"""YOLO's segmentation text: `data.yaml`, and `labels/NAME.txt` for each `images/NAME.jpg`.

`classes.txt` with one name a line, as Label Studio exports it, stands for a YAML of the folder
`images`. A line of a label file is a class number and the points x, y of a polygon, in parts of the
image's width and height. The smaller polygon is on top, as in Ultralytics' own masks.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from deeplab_tf.data.sources.choices import Choices
from deeplab_tf.data.sources.find_images import is_file, plain_path, visible_files
from deeplab_tf.data.sources.labelled import (
    SPLITS,
    Labelled,
    LabelledImage,
    counted,
    fault,
    labelled_source,
)
from deeplab_tf.data.sources.painted import Area
from deeplab_tf.data.sources.source import Source, read_list
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.images.suffixes import IMAGE_SUFFIXES

KEYS = ("train", "val", "valid", "test")
CLASSES_FILE = "classes.txt"


def yolo_source(root: Path, choices: Choices) -> Source:
    """Returns the images of the splits of the YAML; an image without a text has no object.

    Raises:
        DeeplabError: the YAML is missing or malformed, or a folder of images is missing.
    """
    file = _class_file(root)
    if file is None:
        raise DeeplabError(f"{root} has no data.yaml with names and train, nor {CLASSES_FILE}")
    content = _content_of_list(file) if file.suffix == ".txt" else _read_yaml(file)
    names = _names(content, file)
    images, lone = [], []
    for key in (key for key in KEYS if content.get(key)):
        found = [*_images(content, key, file)]
        images += [_image(root, image, names, key) for image in found]
        texts = {path for folder in {_text_of(i).parent for i in found} for path in _texts(folder)}
        lone += sorted(texts - {_text_of(image) for image in found})
    notes = counted(lone, "label files have no image and were left out")
    classes = dict.fromkeys(names.values())
    return labelled_source(root, Labelled(classes, images, "smaller", notes), choices)


def seen_yolo(root: Path) -> str | None:
    """Returns the name of a YAML with names and splits, or of YOLO's list of classes, or None."""
    file = _class_file(root)
    return file.name if file else None


def _class_file(root: Path) -> Path | None:
    for path in sorted((*root.glob("*.yaml"), *root.glob("*.yml"))):
        content = _load(path)
        # A data.yaml is YOLO's however broken, and reading it says so.
        if path.stem == "data" or (isinstance(content, dict) and {"names", "train"} <= {*content}):
            return path
    names = root / CLASSES_FILE
    return names if names.is_file() and (root / "labels").is_dir() else None


def _content_of_list(file: Path) -> dict:
    """Returns what a YAML would hold for a list of class names: the folders in `images/`."""
    splits = [key for key in KEYS if (file.parent / "images" / key).is_dir()]
    folders = {key: f"images/{key}" for key in splits} or {"train": "images"}
    return {"names": read_list(file), **folders}


def _load(path: Path) -> Any:
    """Returns the content of a YAML file, or the error of a broken one."""
    try:
        return yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, ValueError, OSError, RecursionError, TypeError) as error:
        return error


def _read_yaml(file: Path) -> dict:
    content = _load(file)
    if isinstance(content, Exception):
        raise DeeplabError(f"{file} cannot be read: {one_line(str(content))[:200]}")
    if not isinstance(content, dict) or not content.get("names"):
        raise DeeplabError(f"{file} has no names of classes; give YOLO's data.yaml")
    return content


def _names(content: dict, file: Path) -> dict[int, str]:
    """Returns the class names by their numbers; `names` is a list or maps numbers to names."""
    names = content["names"]
    if not isinstance(names, list | dict):
        raise DeeplabError(f"{file}: names must be a list, or map numbers to names")
    pairs = names.items() if isinstance(names, dict) else enumerate(names)
    found = {number: name for number, name in pairs}
    if not all(isinstance(n, int) and isinstance(name, str | int) for n, name in found.items()):
        raise DeeplabError(f"{file}: names must be a list, or map numbers to names")
    found = {number: str(name) for number, name in found.items()}
    if len(set(found.values())) < len(found):
        raise DeeplabError(f"{file}: names has a name twice")
    return found


def _images(content: dict, key: str, file: Path) -> Iterator[Path]:
    """Yields the images of a split: those of one folder or list, or of several."""
    places = content[key] if isinstance(content[key], list) else [content[key]]
    for place in places:
        path = _resolve(str(place), content, file)
        if path is None:
            raise DeeplabError(f"{file}: {key} is {str(place)!r}, which is not there")
        if path.is_dir():
            yield from visible_files(path, IMAGE_SUFFIXES)
        else:
            yield from (_listed(line, path) for line in read_list(path))


def _resolve(place: str, content: dict, file: Path) -> Path | None:
    """Returns the folder or list that a YAML names, or None where it is not there.

    The YAML is often moved after it was written, and Roboflow writes `../train/images` beside
    `train/`, so that the path is tried in the YAML's own folder too.
    """
    path = plain_path(place)
    inside = Path(*(part for part in path.parts if part not in ("..", "/")))
    base = file.parent / str(content.get("path") or "")
    tried = (base / path, file.parent / path, file.parent / inside)
    return next((p for p in tried if p.is_dir() or (p.suffix == ".txt" and p.is_file())), None)


def _listed(line: str, list_file: Path) -> Path:
    """Returns the image on a line of a list, which may name folders that hold the export."""
    parts = plain_path(line).parts
    ends = [list_file.parent.joinpath(*parts[start:]) for start in range(len(parts))]
    return next((path for path in ends if is_file(path)), ends[0])


def _text_of(image: Path) -> Path:
    """Returns the label file of an image: the last `images` of the path becomes `labels`."""
    parts = list(image.parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _texts(folder: Path) -> list[Path]:
    own = [path for path in folder.glob("*.txt") if not path.name.startswith(("classes", "."))]
    return own if folder.name != "images" else []


def _image(root: Path, image: Path, names: dict[int, str], key: str) -> LabelledImage:
    text = _text_of(image)
    lines = read_list(text) if text.is_file() else []
    shapes, problem = [], None
    for number, line in enumerate(lines, 1):
        try:
            shapes.append(_shape(line, names))
        except ValueError as error:
            problem = problem or f"line {number} {fault(error)}"
    relative = image.relative_to(root) if image.is_relative_to(root) else Path(image.name)
    name = relative.with_suffix("").as_posix()
    return LabelledImage(name, image, str(text), shapes, split=SPLITS[key], problem=problem)


def _shape(line: str, names: dict[int, str]) -> tuple[str, Area]:
    """Returns the class and the pixels of a line; raises `ValueError` for a malformed one."""
    number, *values = line.split()
    if not number.isdecimal() or int(number) not in names:
        raise ValueError(f"has the class {number}, and data.yaml has {sorted(names)}")
    points = [float(value) for value in values]
    if len(points) == 4:
        raise ValueError("is a box of detection and no polygon")
    if len(points) < 6 or len(points) % 2:
        raise ValueError(f"has {len(points)} numbers; it must have x, y of 3 or more points")
    if not all(math.isfinite(value) and -0.5 <= value <= 1.5 for value in points):
        raise ValueError("has points outside the image; x and y must be in 0..1")
    return names[int(number)], Area([points], unit="image")
