"""The pixels and the classes of every mask in the records of a split, counted once.

Tested in tests/data/test_balance.py.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from deeplab_tf.data.records import Presence, SplitFiles, decode_mask, parse_encoded
from deeplab_tf.images.classes import VOID


@dataclasses.dataclass(frozen=True)
class MaskCounts:
    """What the masks of a split hold.

    Attributes:
        pixels: the number of pixels of each class, then of void, over all masks.
        present: for each file, the classes in each record, as `SplitFiles.present` has them.
    """

    pixels: list[int]
    present: Presence


def count_masks(split: SplitFiles, num_classes: int) -> MaskCounts:
    """Counts the pixels and classes in all masks of `split`; reads every mask.

    Raises:
        tf.errors.OpError: a record file cannot be read.
    """

    @tf.autograph.experimental.do_not_convert
    def count(record: tf.Tensor) -> tf.Tensor:
        mask = tf.cast(decode_mask(parse_encoded(record)), tf.int32)
        return tf.math.bincount(tf.reshape(mask, [-1]), minlength=VOID + 1, dtype=tf.int64)

    total, present = np.zeros(VOID + 1, np.int64), []
    for file in split.files:
        bits = []
        counts = tf.data.TFRecordDataset(file).map(count, num_parallel_calls=tf.data.AUTOTUNE)
        for pixels in counts.as_numpy_iterator():
            total += pixels
            bits.append(sum(1 << int(label) for label in np.flatnonzero(pixels[:num_classes])))
        present.append(tuple(bits))
    return MaskCounts([*total[:num_classes].tolist(), int(total[VOID])], tuple(present))


def presence(split: SplitFiles, num_classes: int) -> Presence:
    """Returns the classes in each record, from the description of the data set where it has them.

    Data sets that were prepared before the description had them are read once.

    Raises:
        tf.errors.OpError: a record file cannot be read.
    """
    if split.present is None:
        return count_masks(split, num_classes).present
    return split.present
