"""The fields in which two trainings differ.

Tested in tests/runs/test_checkpoints.py and tests/paper/test_results.py, through `check_workdir`
and `ours_of`.
"""

import os

from deeplab_tf.config.gaps import open_fields
from deeplab_tf.config.schema import Experiment, Keep

FREE = frozenset(
    {
        "strategy",
        "rematerialize",
        "log_every",
        "checkpoint_every",
        "panels_every",
        "keep_checkpoints",
    }
)
"""Fields of `train` that change no weight: where the training runs, in how much memory, and how
often it writes. (With `batch_norm=train` the statistics do depend on the number of devices.)"""

EVALUATING = frozenset({"evaluate_every", "evaluate_images"})
"""Fields of `train` that, with the section `evaluate`, change which weights a run ends with where
the run keeps the best or has a patience, and change no weight elsewhere."""

FROM_DATA = ("model.num_classes", "model.image_format", "data.longest_side")
"""Fields that are None until the data set fills them in."""


def training_differences(a: Experiment, b: Experiment) -> list[tuple[str, object, object]]:
    """Lists each field that makes `b` another training than `a`: (dotted name, in `a`, in `b`).

    The evaluation counts only where it decides which weights a run ends with (`EVALUATING`). A
    field that the data set has still to fill in for `a` or `b`, or that is still to be chosen, does
    not count. A relative path counts as the absolute path that it means in the current folder.
    Class weights from two files count as equal, since the weights are in the files, which a workdir
    keeps a copy of.
    """
    of_a, of_b = _training_fields(a), _training_fields(b)
    still_open = {*open_fields(a), *open_fields(b)}
    return [
        (name, of_a[name], of_b[name])
        for name in of_a
        if name in of_b
        and _meaning(name, of_a[name]) != _meaning(name, of_b[name])
        and not (name in FROM_DATA and None in (of_a[name], of_b[name]))
        and name not in still_open
    ]


def _meaning(name: str, value: object) -> object:
    if name == "init_from" and value is not None:
        return os.path.abspath(str(value))
    if name == "train.class_weights" and value not in ("none", "auto"):
        return "a file"
    return value


def _training_fields(experiment: Experiment) -> dict[str, object]:
    names = ("init_from", "initial_weights", "previous_stage")
    fields = {name: getattr(experiment, name) for name in names}
    train = experiment.train
    judged = train.keep is Keep.BEST or train.patience is not None
    sections, free = ("model", "data", "train"), FREE if judged else FREE | EVALUATING
    for section in (*sections, "evaluate") if judged else sections:
        values = vars(getattr(experiment, section))
        fields |= {f"{section}.{name}": v for name, v in values.items() if name not in free}
    return fields
