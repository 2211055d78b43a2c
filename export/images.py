"""The images that an export is compared on.

Tested in tests/export/test_parity.py.
"""

import itertools
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from deeplab_tf.config.image_format import RGB, ImageFormat, as_pixel
from deeplab_tf.data.pipeline import labelled_images
from deeplab_tf.data.records import open_records
from deeplab_tf.images.bands import read_image_of
from deeplab_tf.images.classes import VOID, Classes, check_same_classes
from deeplab_tf.images.frame import into_frame
from deeplab_tf.images.resampling import shrink_images
from deeplab_tf.prediction.inputs import find_images


class ComparedImage(NamedTuple):
    """One image [H, W, bands] with its name and, where it is labelled, its mask, uint8 [H, W].

    `inner` is the (height, width) of the part that is not padding, from the upper left; None means
    that all of it is image.
    """

    name: str
    image: np.ndarray
    mask: np.ndarray | None = None
    inner: tuple[int, int] | None = None


def data_set_images(
    data_dir: pathlib.Path, dataset: str, split: str, count: int, classes: Classes | None = None
) -> Iterator[ComparedImage]:
    """Returns an iterator over the first `count` examples of a split, each named by its id.

    Args:
        data_dir: the folder in which `deeplab-prepare` wrote the records.
        dataset: the name of the data set.
        split: the name of the split.
        count: how many examples at most.
        classes: the model's classes; with them the masks are given too, where the split has any.

    Raises:
        DeeplabError: there is no such data set or split, or it has other classes than `classes`;
            while reading, a corrupt file.
    """
    records = open_records(data_dir, dataset)
    examples = itertools.islice(labelled_images(records.split(split)), count)
    if classes is None or not sum(records.pixels[split][:-1]):
        return (ComparedImage(name, image) for name, image, _ in examples)
    check_same_classes(classes, records.classes)
    return itertools.starmap(ComparedImage, examples)


def file_images(
    images: str, count: int, image_format: ImageFormat = RGB
) -> Iterator[ComparedImage]:
    """Returns an iterator over the first `count` images of a file, a folder or a pattern, by name.

    Raises:
        DeeplabError: there is no image; while reading, a file that is no picture.
    """
    files = find_images(images)[:count]
    return (ComparedImage(str(file), read_image_of(file, image_format)) for file in files)


def shrink_picture(picture: ComparedImage, longest: int | None) -> ComparedImage:
    """Returns `picture` as the network sees it at a working size of `longest` pixels, None for any.

    The mask, where there is one, is shrunk alike, by nearest neighbour.
    """
    if longest is None or max(picture.image.shape[:2]) <= longest:
        return picture
    image = shrink_images(picture.image[None], longest)[0]
    mask = picture.mask
    if mask is not None:
        size = image.shape[1], image.shape[0]
        mask = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    return ComparedImage(picture.name, image, mask)


def fit_picture(
    picture: ComparedImage, size: tuple[int, int] | None, fill: Sequence[float]
) -> ComparedImage:
    """Returns `picture` in a frame of `size`, as `deeplab-predict` puts it there.

    The mask is put into the frame alike, and filled with void. The picture stays as it is where
    `size` is None, any.
    """
    if size is None:
        return picture
    framed, inner = into_frame(picture.image, size, as_pixel(fill, picture.image.dtype))
    mask = None
    if picture.mask is not None:
        mask = np.full(size, VOID, np.uint8)
        height, width = inner
        small = Image.fromarray(picture.mask).resize((width, height), Image.Resampling.NEAREST)
        mask[:height, :width] = np.asarray(small)
    return ComparedImage(picture.name, framed[0], mask, inner)
