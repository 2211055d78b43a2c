"""The images that an export is compared on."""

import itertools
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from deeplab_tf.data.image_format import RGB, ImageFormat
from deeplab_tf.data.read_bands import read_image_of
from deeplab_tf.data.records import open_records
from deeplab_tf.evaluation.evaluate import labelled_images
from deeplab_tf.prediction.inputs import find_images


def data_set_images(
    data_dir: pathlib.Path, dataset: str, split: str, count: int
) -> Iterator[tuple[str, np.ndarray]]:
    """The first `count` (id, [H, W, bands]) of a split that `deeplab-prepare` wrote.

    Raises:
        DeeplabError: there is no such data set or split; while reading, a corrupt file.
    """
    first = itertools.islice(labelled_images(open_records(data_dir, dataset).split(split)), count)
    return ((name, image) for name, image, _ in first)


def file_images(
    images: str, count: int, image: ImageFormat = RGB
) -> Iterator[tuple[str, np.ndarray]]:
    """The first `count` (path, [H, W, bands]) of a file, a folder or a glob pattern, by name.

    Raises:
        DeeplabError: there is none; while reading, a file that is no picture.
    """
    files = find_images(images)[:count]
    return ((str(file), read_image_of(file, image)) for file in files)


def fit(image: np.ndarray, size: tuple[int, int], fill: Sequence[float]) -> np.ndarray:
    """uint8 [H, W, 3] -> [*size, 3]: the middle, or the whole with `fill` right and below it."""
    height, width = size
    top, left = (max(0, (have - want) // 2) for have, want in zip(image.shape, size, strict=False))
    middle = image[top : top + height, left : left + width]
    fitted = np.empty((height, width, 3), np.uint8)
    fitted[:] = np.round(fill)
    fitted[: middle.shape[0], : middle.shape[1]] = middle
    return fitted
