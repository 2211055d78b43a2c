"""The images that an export is compared on.

Tested in tests/export/test_parity.py.
"""

import hashlib
import itertools
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from deeplab_tf.config.image_format import RGB, ImageFormat, as_pixel
from deeplab_tf.data.pipeline import labelled_images
from deeplab_tf.data.records import open_records
from deeplab_tf.images.bands import read_with_missing
from deeplab_tf.images.classes import VOID, Classes, check_same_classes
from deeplab_tf.images.frame import into_frame
from deeplab_tf.images.resampling import shrink_images
from deeplab_tf.prediction.inputs import find_images

Share = tuple[float, float]


class ComparedImage(NamedTuple):
    """One image [H, W, bands] with its name and, where it is labelled, its mask, uint8 [H, W].

    `inner` is the (height, width) of the part that is not padding, from the upper left; None means
    that all of it is image. `filled` is the image with the mean pixel in the place of pixels that
    have no data; None means that all have some, or that the image is RGB.
    """

    name: str
    image: np.ndarray
    mask: np.ndarray | None = None
    inner: tuple[int, int] | None = None
    filled: np.ndarray | None = None

    @property
    def to_calibrate(self) -> np.ndarray:
        """The pixels for the calibration of int8, [H, W, bands].

        Pixels without data are void, and are not to widen the ranges of those that count.
        """
        return self.image if self.filled is None else self.filled

    @property
    def share(self) -> Share:
        """The share of the rows and of the columns, 0..1, that are not padding."""
        if self.inner is None:
            return 1.0, 1.0
        return self.inner[0] / self.image.shape[0], self.inner[1] / self.image.shape[1]


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
    labelled = classes is not None and sum(records.pixels[split][:-1]) > 0
    if classes is not None and labelled:
        check_same_classes(classes, records.classes)

    def compared(name: str, image: np.ndarray, mask: np.ndarray) -> ComparedImage:
        # Records have 0 for what is absent, and void where a pixel has no data in any band.
        missing = (mask == VOID) & (image == 0).all(axis=-1)
        filled = _filled(image, missing, records.image_format)
        return ComparedImage(name, image, mask if labelled else None, filled=filled)

    return itertools.starmap(compared, examples)


def file_images(
    images: str, count: int, image_format: ImageFormat = RGB
) -> Iterator[ComparedImage]:
    """Returns an iterator over the first `count` images of a file, a folder or a pattern, by name.

    Raises:
        DeeplabError: there is no image; while reading, a file that is no picture.
    """
    files = find_images(images)[:count]

    def compared(file: pathlib.Path) -> ComparedImage:
        image, missing = read_with_missing(file, image_format)
        return ComparedImage(str(file), image, filled=_filled(image, missing, image_format))

    return map(compared, files)


def _filled(
    image: np.ndarray, missing: np.ndarray | None, image_format: ImageFormat
) -> np.ndarray | None:
    """Returns the image with the mean pixel where it is missing, see `ComparedImage`."""
    if image_format.is_rgb or missing is None or not missing.any():
        return None
    return np.where(missing[..., None], image_format.mean_pixel, image)


def hold_apart(available: int, calibration: int, compared: int) -> tuple[list[int], list[int]]:
    """Returns the positions of the images to calibrate on, and of others to compare on.

    The first images of a data set or folder are dealt, so many as are needed. Those to calibrate on
    are at most half of those there are, and are spread evenly. A single image serves for both.

    Args:
        available: how many images there are.
        calibration, compared: how many are wanted, at least 1.
    """
    if available <= 1:
        return [*range(available)], [*range(available)]
    calibration = min(calibration, available // 2)
    count = min(available, calibration + compared)
    chosen = [i * count // calibration for i in range(calibration)]
    return chosen, sorted(set(range(count)) - set(chosen))


def digest(image: np.ndarray) -> bytes:
    """Returns the same 32 bytes for the same pixels, under whatever name they come."""
    return hashlib.sha256(image.tobytes()).digest()


def shrink_picture(picture: ComparedImage, longest: int | None) -> ComparedImage:
    """Returns `picture` as the network sees it at a working size of `longest` pixels, None for any.

    The mask, where there is one, is shrunk alike, by nearest neighbour.
    """
    if longest is None or max(picture.image.shape[:2]) <= longest:
        return picture
    image, filled = (
        None if pixels is None else shrink_images(pixels[None], longest)[0]
        for pixels in (picture.image, picture.filled)
    )
    assert image is not None
    mask = picture.mask
    if mask is not None:
        size = image.shape[1], image.shape[0]
        mask = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    return ComparedImage(picture.name, image, mask, filled=filled)


def fit_picture(
    picture: ComparedImage, size: tuple[int, int] | None, fill: Sequence[float]
) -> ComparedImage:
    """Returns `picture` in a frame of `size`, as `deeplab-predict` puts it there.

    The mask is put into the frame alike, and filled with void. The picture stays as it is where
    `size` is None, any.
    """
    if size is None:
        return picture
    pixel = as_pixel(fill, picture.image.dtype)
    framed, inner = into_frame(picture.image, size, pixel)
    filled = None if picture.filled is None else into_frame(picture.filled, size, pixel)[0][0]
    mask = None
    if picture.mask is not None:
        mask = np.full(size, VOID, np.uint8)
        height, width = inner
        small = Image.fromarray(picture.mask).resize((width, height), Image.Resampling.NEAREST)
        mask[:height, :width] = np.asarray(small)
    return ComparedImage(picture.name, framed[0], mask, inner, filled)
