"""The split that a training is evaluated on while it trains, found and checked before it begins.

Tested in tests/training/test_held_out.py.
"""

import dataclasses
from collections.abc import Sequence

from deeplab_tf.config import EvaluateConfig, Experiment, Keep, TrainConfig
from deeplab_tf.data.mask_counts import presence
from deeplab_tf.data.mixture import MixedSplit
from deeplab_tf.data.records import Records, SplitFiles, naming_corrupt_file
from deeplab_tf.data.split_names import held_out_split, may_share_images
from deeplab_tf.errors import DeeplabError


@dataclasses.dataclass(frozen=True)
class HeldOutSplit:
    """The split that a training is evaluated on.

    Attributes:
        name: the name of the split.
        files: its record files.
        every: which images are taken: every n-th, from the first on. One of them has a labelled
            pixel.
    """

    name: str
    files: SplitFiles
    every: int = 1

    @property
    def num_images(self) -> int:
        """Returns how many images an evaluation takes."""
        return -(-self.files.num_examples // self.every)


def find_held_out(
    experiment: Experiment, records: Records, mixed_in: Sequence[MixedSplit] = ()
) -> tuple[HeldOutSplit | None, list[str]]:
    """Returns the split that the training is evaluated on, and a line for each thing to know of it.

    The split is `evaluate.split`, or where the data set has none of this name, the one held out.
    It is None where the training is not evaluated: `train.evaluate_every` is 0, or the data set has
    no labelled split that is held out, nothing was asked of it, and no choice hangs on it.

    Raises:
        DeeplabError: the training is trained on the split; or a split was asked for by name, by
            `train.keep=best` or by `train.patience`, and the data set has none that is labelled
            and, by its name, shares no image with the training.
    """
    train, data = experiment.train, experiment.data
    if not train.evaluate_every:
        return None, []
    asked = experiment.evaluate.split
    name = held_out_split(records.splits, asked)
    trained_on = [(data.dataset, data.split)]
    trained_on += [(part.records.classes.dataset, part.name) for part in mixed_in]
    choosers = _choosers(train)
    if (data.dataset, name) in trained_on:
        raise _refused(train, name, "the split that is trained on")
    if fault := _fault(name, records, train):
        by_default = asked == EvaluateConfig().split or set(records.splits) == {data.split}
        if choosers or not by_default:
            raise _refused(train, name, fault)
        return None, [
            f"note: the run is not evaluated while it trains, since config.evaluate.split is "
            f"{name}, {fault}"
        ]
    notes = []
    if name != asked:
        notes.append(_note_on_another(name, asked, records, choosers))
    for dataset, split in trained_on:
        if dataset != data.dataset or not may_share_images(name, split):
            continue
        if choosers:
            fault = f"whose images {split} has by its name, so that {choosers} would choose by them"
            raise _refused(train, name, fault)
        notes.append(
            f"note: by its name, {split} has the images of {name}, so the figures on {name} "
            "are of images that are trained on"
        )
    return HeldOutSplit(name, records.split(name), _every(records.split(name), train)), notes


def _choosers(train: TrainConfig) -> str:
    """Returns the settings that choose by the evaluations, as text; empty where there is none."""
    keeps = ["train.keep=best"] if train.keep is Keep.BEST else []
    ends = ["train.patience"] if train.patience is not None else []
    return " and ".join(keeps + ends)


def _note_on_another(name: str, asked: str, records: Records, choosers: str) -> str:
    """Returns a line where the split is not the one asked for."""
    note = (
        f"note: {records.classes.dataset} has no split {asked}, so the run is evaluated on {name}"
    )
    if not choosers or "test" not in name.lower():
        return note
    return (
        f"{note}; {choosers} would choose by the images of the test, so that figures on {name} "
        "flatter the network; a split val of its own would leave the test to the end"
    )


def _every(files: SplitFiles, train: TrainConfig) -> int:
    """Returns n, where every n-th image of the split is evaluated."""
    return -(-files.num_examples // (train.evaluate_images or files.num_examples))


def _refused(train: TrainConfig, name: str, fault: str) -> DeeplabError:
    choosers = _choosers(train)
    return DeeplabError(
        "config.evaluate.split must be a labelled split that is held out from the training, "
        f"which is evaluated on it every {train.evaluate_every} steps. Received: {name}, "
        f"{fault}; give another --config.evaluate.split, or --config.train.evaluate_every=0"
        f"{f' without {choosers}' if choosers else ''}"
    )


def _fault(name: str, records: Records, train: TrainConfig) -> str | None:
    """Returns why nothing can be evaluated on the split `name`; None where it can."""
    if name not in records.splits:
        return (
            f"and data set {records.classes.dataset} has no such split (splits are "
            f"{', '.join(records.splits)})"
        )
    files = records.splits[name]
    if not files.num_examples:
        return "which has no image"
    if not sum(records.pixels[name][:-1]):
        return "whose masks are not public, or void everywhere"
    every = _every(files, train)
    if every > 1 and not _has_labels(files, every, records.classes.num_classes):
        return (
            f"of which train.evaluate_images={train.evaluate_images} takes only images without a "
            "labelled pixel (a higher number takes others)"
        )
    return None


def _has_labels(files: SplitFiles, every: int, num_classes: int) -> bool:
    """Returns whether one of every `every`-th image has a labelled pixel."""
    with naming_corrupt_file(files):
        present = [classes for file in presence(files, num_classes) for classes in file]
    return any(present[::every])
