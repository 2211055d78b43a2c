"""The duplication of images with hard classes (section 4.3, for the test server).

An image whose mask has a pixel of a hard class comes twice in each epoch.
"""

import dataclasses
from collections.abc import Sequence

from deeplab_tf.data.mask_counts import presence
from deeplab_tf.data.records import SplitFiles
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

    Without `names` the function returns `split` unchanged.

    Raises:
        DeeplabError: `classes` has no class of one of the names.
        tf.errors.OpError: a record file cannot be read, of a data set that was prepared before its
            description had the classes of each record.
    """
    if not names:
        return split
    hard = sum(1 << label for label in set(class_ids(classes, names)))
    repeats = tuple(
        tuple(2 if bits & hard else 1 for bits in file)
        for file in presence(split, classes.num_classes)
    )
    return dataclasses.replace(split, num_examples=sum(map(sum, repeats)), repeats=repeats)
