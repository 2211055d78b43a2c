"""The split that a training is evaluated on while it trains, found and checked before it begins.

Tested in tests/training/test_held_out.py.
"""

import dataclasses
from collections.abc import Sequence

from deeplab_tf.config import Experiment
from deeplab_tf.data.mixture import MixedSplit
from deeplab_tf.data.records import Records, SplitFiles
from deeplab_tf.data.split_names import held_out_split, may_share_images
from deeplab_tf.errors import DeeplabError


@dataclasses.dataclass(frozen=True)
class HeldOutSplit:
    """The split that a training is evaluated on.

    Attributes:
        name: the name of the split.
        files: its record files.
        every: which images are taken: every n-th, from the first on.
        note: a line that the user should see; None where there is nothing to say.
    """

    name: str
    files: SplitFiles
    every: int = 1
    note: str | None = None

    @property
    def num_images(self) -> int:
        """Returns how many images an evaluation takes."""
        return -(-self.files.num_examples // self.every)


def find_held_out(
    experiment: Experiment, records: Records, mixed_in: Sequence[MixedSplit] = ()
) -> HeldOutSplit | None:
    """Returns the split that the training is evaluated on; None where it is not evaluated.

    The split is `evaluate.split`, or where the data set has none of this name, the one held out.

    Raises:
        DeeplabError: there is no such split, it is empty or has no labelled pixel, or the training
            is trained on it.
    """
    train, data = experiment.train, experiment.data
    if not train.evaluate_every:
        return None
    name = held_out_split(records.splits, experiment.evaluate.split)
    trained_on = {(data.dataset, data.split)}
    trained_on |= {(part.records.classes.dataset, part.name) for part in mixed_in}
    if fault := _fault(name, records, (data.dataset, name) in trained_on):
        raise DeeplabError(
            f"config.evaluate.split must be a labelled split that is held out from the training, "
            f"which is evaluated on it every {train.evaluate_every} steps. Received: {name}, "
            f"{fault}; give another --config.evaluate.split, or --config.train.evaluate_every=0"
        )
    files, note = records.split(name), None
    if may_share_images(name, data.split):
        note = (
            f"note: by its name, {data.split} has the images of {name}, so the figures on {name} "
            "are of images that are trained on"
        )
    most = train.evaluate_images or files.num_examples
    return HeldOutSplit(name, files, -(-files.num_examples // most), note)


def _fault(name: str, records: Records, is_trained_on: bool) -> str | None:
    """Returns why the split `name` cannot be evaluated; None where it can."""
    if name not in records.splits:
        return (
            f"and data set {records.classes.dataset} has no such split (splits are "
            f"{', '.join(records.splits)})"
        )
    if is_trained_on:
        return "the split that is trained on"
    if not records.splits[name].num_examples:
        return "which has no image"
    if not sum(records.pixels[name][:-1]):
        return "whose masks are not public, or void everywhere"
    return None
