"""The duplication of images with hard classes (section 4.3, for the test server).

An image whose mask has a pixel of a hard class comes twice in each epoch.
"""

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from deeplab_tf.data.records import SplitFiles, decode_mask, parse_encoded
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import Classes


def class_ids(classes: Classes, names: Sequence[str]) -> list[int]:
    """Returns the ids of the classes called `names`.

    Raises:
        DeeplabError: `classes` has no class of one of the names.
    """
    unknown = [name for name in names if name not in classes.names]
    if unknown:
        raise DeeplabError(
            f"config.data.duplicate_classes has {', '.join(unknown)}, but the classes of "
            f"{classes.dataset} are {', '.join(classes.names)}"
        )
    return [classes.names.index(name) for name in names]


def with_duplicates(split: SplitFiles, classes: Classes, names: Sequence[str]) -> SplitFiles:
    """Returns `split` with `repeats` of 2 for every record that has a pixel of the classes `names`.

    The function reads every mask once. Without `names` it returns `split` unchanged.

    Raises:
        DeeplabError: `classes` has no class of one of the names.
        tf.errors.OpError: a record file cannot be read.
    """
    if not names:
        return split
    hard = tf.constant(class_ids(classes, names), tf.uint8)

    def repeats(record: tf.Tensor) -> tf.Tensor:
        mask = decode_mask(parse_encoded(record))
        # The comparison has the shape [H, W, len(names)]; one true value in it makes the record
        # come twice.
        return 1 + tf.cast(tf.reduce_any(tf.expand_dims(mask, -1) == hard), tf.int64)

    counts = tuple(
        tuple(
            int(count)
            for count in tf.data.TFRecordDataset(file)
            .map(repeats, num_parallel_calls=tf.data.AUTOTUNE)
            .as_numpy_iterator()
        )
        for file in split.files
    )
    return dataclasses.replace(split, num_examples=sum(map(sum, counts)), repeats=counts)
