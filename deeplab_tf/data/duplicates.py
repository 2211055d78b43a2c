"""Images of hard classes twice in each epoch (section 4.3, for the test server)."""

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from deeplab_tf.data.records import SplitFiles, decode_mask, parse_encoded
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import LabelSet


def class_ids(labels: LabelSet, classes: Sequence[str]) -> list[int]:
    """The ids of `classes`; raises `DeeplabError` for a name that `labels` does not have."""
    unknown = [name for name in classes if name not in labels.names]
    if unknown:
        raise DeeplabError(
            f"config.data.duplicate_classes has {', '.join(unknown)}, but the classes of "
            f"{labels.dataset} are {', '.join(labels.names)}"
        )
    return [labels.names.index(name) for name in classes]


def with_duplicates(split: SplitFiles, labels: LabelSet, classes: Sequence[str]) -> SplitFiles:
    """`split` with every record whose mask has a pixel of one of `classes` counted twice.

    Reads every mask once. Without `classes` it is `split` itself.

    Raises:
        DeeplabError: `labels` has no such class. While reading, TensorFlow's own errors.
    """
    if not classes:
        return split
    hard = tf.constant(class_ids(labels, classes), tf.uint8)

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
