"""Figures by image as tables: `images.csv` to look at, `images_by_class.csv` to compute with."""

import csv
import pathlib
from collections.abc import Sequence

import numpy as np

from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.evaluation.image_counts import BOUNDARY_COLUMNS, COLUMNS, ImageCounts
from deeplab_tf.files import containing

IMAGES_FILE = "images.csv"
BY_CLASS_FILE = "images_by_class.csv"
_HEAD = ("image", "width", "height", "void_share", "mean_iou", "pixel_accuracy")
_BY_CLASS_HEAD = ("image", "width", "height", "void", "class")
is_images = containing(",".join(_HEAD).encode())
"""Recognises an `IMAGES_FILE`."""
is_by_class = containing(",".join((*_BY_CLASS_HEAD, *COLUMNS)).encode())
"""Recognises a `BY_CLASS_FILE`."""


def write_images(images: Sequence[ImageCounts], names: Sequence[str], path: pathlib.Path) -> None:
    """Writes one line an image, in the given order.

    The columns are its name, its size in pixels, the share of void in its truth, mean IoU over the
    classes in its truth, pixel accuracy, and the IoU of each class as `iou_NAME`, all 0..1. A class
    that is in neither truth nor prediction is empty, and so is every figure where all is void.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*_HEAD, *(f"iou_{name}" for name in names)])
        for image in images:
            iou: list[float | None] = [None] * len(names)
            for class_id, value in zip(image.classes.tolist(), image.iou.tolist(), strict=True):
                iou[class_id] = value
            shares = (image.void / (image.width * image.height), image.mean_iou)
            cells = [_cell(x) for x in (*shares, image.pixel_accuracy, *iou)]
            writer.writerow([image.name, image.width, image.height, *cells])


def _cell(share: float | None) -> str:
    return "" if share is None else f"{share:.6f}"


def write_by_class(images: Sequence[ImageCounts], names: Sequence[str], path: pathlib.Path) -> None:
    """Writes the counts of pixels, one line for each class of each image, in the given order.

    An image that is all void has one line without a class. The columns are those of `ImageCounts`.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        has_boundary = any(image.counts.shape[1] > len(COLUMNS) for image in images)
        columns = (*COLUMNS, *BOUNDARY_COLUMNS) if has_boundary else COLUMNS
        writer.writerow([*_BY_CLASS_HEAD, *columns])
        for image in images:
            head = [image.name, image.width, image.height, image.void]
            for class_id, counts in zip(image.classes, image.counts.tolist(), strict=True):
                writer.writerow([*head, names[class_id], *counts])
            if not len(image.classes):
                writer.writerow([*head, "", *[0] * len(columns)])


def read_by_class(path: pathlib.Path, names: Sequence[str]) -> list[ImageCounts]:
    """Reads a file of `write_by_class`.

    Args:
        path: the file.
        names: the names of the classes.

    Raises:
        DeeplabError: the file is damaged; the message names it.
    """
    numbers = {name: class_id for class_id, name in enumerate(names)}
    images: list[ImageCounts] = []
    rows: list[tuple[int, list[int]]] = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = csv.reader(file)
            columns = next(lines)[len(_BY_CLASS_HEAD) :]
            if tuple(columns[: len(COLUMNS)]) != COLUMNS:
                raise ValueError("its columns are others")
            before: list[str] | None = None
            seen: set[int] = set()
            for line in lines:
                head, name = line[:4], line[4]
                class_id = numbers[name] if name else -1
                # Two images of one name are told apart by their classes, which begin again.
                if head != before or class_id <= max(seen, default=-2):
                    if before is not None:
                        images.append(_image(before, rows, len(columns)))
                    before, rows, seen = head, [], set()
                seen.add(class_id)
                if name:
                    counts = [int(cell) for cell in line[5:]]
                    if len(counts) != len(columns):
                        raise ValueError(f"line {lines.line_num} is cut off")
                    rows.append((class_id, counts))
            if before is not None:
                images.append(_image(before, rows, len(columns)))
    except (OSError, ValueError, KeyError, IndexError, StopIteration, csv.Error) as error:
        raise DeeplabError(
            f"{path} is damaged ({one_line(str(error))}); run deeplab-eval again"
        ) from error
    return images


def _image(head: list[str], rows: list[tuple[int, list[int]]], columns: int) -> ImageCounts:
    name, (width, height, void) = head[0], map(int, head[1:])
    classes = np.array([class_id for class_id, _ in rows], np.int64)
    counts = np.array([counts for _, counts in rows], np.int64).reshape(-1, columns)
    return ImageCounts(name, height, width, void, classes, counts)
