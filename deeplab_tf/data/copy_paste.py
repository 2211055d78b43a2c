"""Pixels of rare classes, pasted from other images (after arXiv 2012.07177, for whole classes).

The donor of example i of a run is donor i of its own order, so that it follows from the seed and i
alone. It is scaled, turned and mirrored like an example, and its crop is placed at random over a
pixel of a rare class. Nearly every such crop shows one: shrinking may lose a region of few pixels,
and a turn may move the pixel out of the crop.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from deeplab_tf.config import DataConfig
from deeplab_tf.data.geometry import Geometry, sample_geometry
from deeplab_tf.data.mask_counts import presence
from deeplab_tf.data.records import Records, SplitFiles
from deeplab_tf.data.select import select
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOID, Classes


@dataclasses.dataclass(frozen=True)
class Donors:
    """The images that pixels are copied from.

    Attributes:
        split: the record files, with repeats of 0 for images without a rare class.
        classes: the ids of the rare classes.
    """

    split: SplitFiles
    classes: tuple[int, ...]


def rare_classes(pixels: Sequence[int]) -> tuple[int, ...]:
    """Returns the ids of the classes with less than half of an equal share of the pixels.

    Args:
        pixels: the number of pixels of each class in a split, then of void. A class without a pixel
            is not rare, since it cannot be copied.
    """
    counts = pixels[:-1]
    limit = sum(counts) / (2 * len(counts))
    return tuple(label for label, count in enumerate(counts) if 0 < count < limit)


def check_rare_classes(records: Records, data: DataConfig) -> None:
    """Raises `DeeplabError` where `data.copy_paste` is on and the split has no rare class."""
    if data.copy_paste and not rare_classes(records.pixels[data.split]):
        count = records.classes.num_classes
        raise DeeplabError(
            f"config.data.copy_paste is {data.copy_paste}, but each class of split {data.split} of "
            f"{records.classes.dataset} has {50 / count:.2g} % of the pixels or more, or none; "
            "leave config.data.copy_paste out"
        )


def find_donors(records: Records, data: DataConfig) -> Donors | None:
    """Returns the images of the split with rare classes, or None where `data.copy_paste` is 0.

    Raises:
        tf.errors.OpError: a record file cannot be read, of a data set that was prepared before its
            description had the classes of each record.
    """
    if not data.copy_paste:
        return None
    split, classes = records.split(data.split), rare_classes(records.pixels[data.split])
    rare = sum(1 << label for label in classes)
    repeats = tuple(
        tuple(1 if bits & rare else 0 for bits in file)
        for file in presence(split, records.classes.num_classes)
    )
    count = sum(map(sum, repeats))
    return Donors(dataclasses.replace(split, num_examples=count, repeats=repeats), classes)


def describe_donors(donors: Donors, classes: Classes) -> str:
    """Returns one line on the rare classes and the number of images that have them."""
    names = ", ".join(classes.names[label] for label in donors.classes)
    return f"pixels are pasted of rare classes: {names}; {donors.split.num_examples} images give"


def is_one_of(mask: tf.Tensor, classes: Sequence[int]) -> tf.Tensor:
    """Returns whether each label of `mask`, uint8 of any shape, is one of `classes`."""
    table = np.zeros(VOID + 1, bool)
    table[list(classes)] = True
    return tf.gather(tf.constant(table), tf.cast(mask, tf.int32))


def donor_geometry(
    mask: tf.Tensor, seed: tf.Tensor, data: DataConfig, classes: Sequence[int]
) -> Geometry:
    """Draws scale, position and flip of a donor, whose crop lies over a pixel of a rare class.

    The pixel is drawn from all pixels of the rare classes, and the position from all positions
    inside the scaled image that show it. A mask without such a pixel gets any position.

    Args:
        mask: uint8 [H, W], of the whole donor.
        seed: int64 [2].
        data: as `sample_geometry` takes it.
        classes: the ids of the rare classes.
    """
    source = tf.shape(mask, out_type=tf.int64)
    whole, more = tf.unstack(tf.random.split(seed, 2))
    geometry = sample_geometry(source, whole, data)
    places = tf.where(is_one_of(mask, classes))
    draws = tf.random.stateless_uniform([3], more)

    def shown() -> tf.Tensor:
        # float64, since a mask may have more pixels than float32 has whole numbers.
        count = tf.cast(tf.shape(places, tf.int64)[0], tf.float64)
        place = places[tf.cast(tf.cast(draws[0], tf.float64) * count, tf.int64)]
        # The scaled pixel that the centre of the source's pixel lies in.
        scaled = (2 * place + 1) * geometry.size // (2 * source)
        crop = tf.constant(data.crop, tf.int64)
        least = tf.maximum(scaled - crop + 1, 0)
        most = tf.minimum(scaled, tf.maximum(geometry.size - crop, 0))
        positions = tf.cast(most - least + 1, tf.float32)
        return least + tf.cast(draws[1:] * positions, tf.int64)

    offset = tf.cond(tf.size(places) > 0, shown, lambda: geometry.offset)
    return geometry._replace(offset=offset)


def paste(
    image: tf.Tensor,
    mask: tf.Tensor,
    donor_image: tf.Tensor,
    donor_mask: tf.Tensor,
    classes: Sequence[int],
) -> tuple[tf.Tensor, tf.Tensor]:
    """Puts the pixels of `classes` of one crop over another crop of the same size.

    Args:
        image, donor_image: float32 [H, W, bands].
        mask, donor_mask: uint8 [H, W].
        classes: the ids of the classes to paste.

    Returns:
        The image and the mask.
    """
    pasted = is_one_of(donor_mask, classes)
    return select(pasted, donor_image, image), tf.where(pasted, donor_mask, mask)
