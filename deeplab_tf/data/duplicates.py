"""Images of hard classes twice in each epoch (section 4.3, for the test server)."""

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from deeplab_tf.data.records import SplitFiles, decode_mask, parse_encoded
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import Classes


def class_ids(classes: Classes, names: Sequence[str]) -> list[int]:
    """The ids of the classes called `names`; raises `DeeplabError` for one that is not there."""
    unknown = [name for name in names if name not in classes.names]
    if unknown:
        raise DeeplabError(
            f"config.data.duplicate_classes has {', '.join(unknown)}, but the classes of "
            f"{classes.dataset} are {', '.join(classes.names)}"
        )
    return [classes.names.index(name) for name in names]


def with_duplicates(split: SplitFiles, classes: Classes, names: Sequence[str]) -> SplitFiles:
    """`split` with every record whose mask has a pixel of one of the classes `names` counted twice.

    Reads every mask once. Without `names` it is `split` itself.

    Raises:
        DeeplabError: `classes` has none of that name. While reading, TensorFlow's own errors.
    """
    if not names:
        return split
    hard = tf.constant(class_ids(classes, names), tf.uint8)

    def repeats(record: tf.Tensor) -> tf.Tensor:
        mask = decode_mask(parse_encoded(record))
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
