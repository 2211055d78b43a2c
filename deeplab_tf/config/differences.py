"""In which fields two trainings differ."""

import dataclasses
import os

from deeplab_tf.config.schema import Experiment

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
"""Fields of `train` that change no weight: where it runs, in how much memory, and how often it
writes. (With batch norm `train` the number of devices does count in its statistics.)"""

FROM_DATA = tuple(f"model.{name}" for name in ("num_classes", "band_mean", "band_std", "bits"))
"""Fields that the data set fills in; until then they are empty."""


def training_differences(a: Experiment, b: Experiment) -> list[tuple[str, object, object]]:
    """(dotted name, its value in `a`, its value in `b`) of each field that makes another training.

    How it is evaluated is not part of it, and what is yet to come from the data set is as in the
    other. A relative path is the absolute one that it means here. Class weights from two files are
    equal here: what counts is in the files, which a workdir keeps a copy of.
    """
    of_a, of_b = _training_fields(a), _training_fields(b)
    return [
        (name, of_a[name], of_b[name])
        for name in of_a
        if _meaning(name, of_a[name]) != _meaning(name, of_b[name])
        and not (name in FROM_DATA and {None, ()} & {of_a[name], of_b[name]})
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
    for section in ("model", "data", "train"):
        values = dataclasses.asdict(getattr(experiment, section))
        fields |= {f"{section}.{name}": v for name, v in values.items() if name not in FREE}
    return fields
