"""A CSV of run lengths as on Kaggle: `ImageId`, `EncodedPixels`, and a class if there are several.

The runs are pairs of a first pixel, counted from 1 down the columns, and a length. The smaller of
two overlapping regions is on top, since the format has no order.
"""

import collections
import dataclasses
from pathlib import Path

import numpy as np

from deeplab_tf.data.sources.choices import Choices
from deeplab_tf.data.sources.find_images import ImageFinder, visible_files
from deeplab_tf.data.sources.labelled import Labelled, LabelledImage, labelled_source, unlisted
from deeplab_tf.data.sources.rasterise import MalformedRegionError
from deeplab_tf.data.sources.source import Source
from deeplab_tf.data.sources.tool_files import header_of, read_rows
from deeplab_tf.errors import DeeplabError

RUNS = "EncodedPixels"
IMAGES = ("ImageId", "Image", "Id", "image_id", "id")
CLASSES = ("ClassId", "Class", "Label", "class", "label")
BOTH = ("ImageId_ClassId", "Image_Label")
"""Columns that join the image and the class by `_`."""
EMPTY = ("", "-1", "nan", "NaN")
OBJECT = "object"
"""The class where the CSV has none."""


@dataclasses.dataclass(frozen=True)
class ColumnRuns:
    """A region as text of pairs: a first pixel, from 1 down the columns, and a length."""

    text: str

    def pixels(self, height: int, width: int) -> np.ndarray:
        """Returns the pixels as `Shape.pixels` describes."""
        words = self.text.split()
        if len(words) % 2 or not all(word.isascii() and word.isdigit() for word in words):
            raise MalformedRegionError("run lengths must be pairs of a first pixel and a length")
        covered = np.zeros(height * width, bool)
        for first, length in zip(map(int, words[::2]), map(int, words[1::2]), strict=True):
            if first < 1 or first - 1 + length > height * width:
                raise MalformedRegionError(
                    f"a run from pixel {first} of {length} pixels ends outside the image of "
                    f"{width}x{height} pixels"
                )
            covered[first - 1 : first - 1 + length] = True
        return covered.reshape(width, height).T


def rle_csv_source(root: Path, choices: Choices) -> Source:
    """Returns the images of the one CSV of run lengths in or below `root`.

    Raises:
        DeeplabError: there is no such CSV or more than one, or it has no column of images.
    """
    files = _tables(root)
    if len(files) != 1:
        found = f"{files[0].name} and {files[1].name}" if files else "none"
        raise DeeplabError(f"{root} must have one CSV with a column {RUNS}. Received: {found}")
    (file,) = files
    finder = ImageFinder(root)
    shapes: dict[str, list] = collections.defaultdict(list)
    for number, row in enumerate(read_rows(file), 2):
        name, label = _image_and_class(row, file, number)
        shapes[name] += [] if row[RUNS].strip() in EMPTY else [(label, ColumnRuns(row[RUNS]))]
    images = []
    for name, found in shapes.items():
        image = finder.find(name, [root / "images", root / "train", root])
        where = f"of image {name} in {file}"
        images.append(LabelledImage(finder.id_of(image, name), image, where, found))
    notes = unlisted(finder, images, "images are not in the CSV and were left out")
    names = sorted({label for found in shapes.values() for label, _ in found}, key=_by_number)
    labelled = Labelled(dict.fromkeys(names), images, "smaller", notes)
    return labelled_source(root, labelled, choices)


def seen_rle_csv(root: Path) -> str | None:
    """Returns the name of a CSV of run lengths in `root`, or None."""
    return next((path.name for path in _tables(root)), None)


def _tables(root: Path) -> list[Path]:
    return [path for path in visible_files(root, (".csv",)) if RUNS in header_of(path)]


def _image_and_class(row: dict[str, str], file: Path, number: int) -> tuple[str, str]:
    """Returns the image's name and the class of a row."""
    both = next((row[column] for column in BOTH if column in row), None)
    if both is not None:
        name, _, label = both.rpartition("_")
    else:
        name = next((row[column] for column in IMAGES if column in row), "")
        label = next((row[column] for column in CLASSES if column in row), OBJECT)
    label = f"class_{label}" if label.isdecimal() else label
    if not name.strip() or not label.strip():
        raise DeeplabError(
            f"{file}, line {number}: there is no image or no class; the columns must be "
            f"{IMAGES[0]} and {RUNS}, with {CLASSES[0]} for several classes"
        )
    return name.strip(), label.strip()


def _by_number(label: str) -> tuple[int, str]:
    """Sorts class_2 before class_10."""
    number = label.removeprefix("class_")
    return (int(number) if number.isdecimal() else -1, label)
