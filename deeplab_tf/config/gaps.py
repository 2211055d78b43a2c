"""The fields of an experiment that a row may leave to be chosen, and whether they are open.

A field that is None here is chosen by `deeplab_tf/training/choices/` from data set and machine
before the training begins, so that no training meets an open field.

Tested in tests/test_config.py and tests/training/choices/test_rules.py.
"""

import dataclasses
import functools
from typing import TypeVar

from deeplab_tf.config.schema import Experiment
from deeplab_tf.errors import DeeplabError

GAPS = (
    "data.min_scale",
    "data.max_scale",
    "data.crop_size",
    "data.shuffle_buffer",
    "train.batch_size",
    "train.steps",
    "train.base_learning_rate",
    "train.class_weights",
    "train.evaluate_every",
)
"""Fields whose None means that they are to be chosen, in the order in which they are."""

BESIDES = {
    "evaluate.working_size": ("data.min_scale", "data.max_scale"),
    "train.evaluate_images": ("train.evaluate_every",),
}
"""Fields whose None has a meaning of its own, and that are chosen, where they are None, together
with the gaps that they belong to, where all of these are open."""

T = TypeVar("T")


def value_of(experiment: Experiment, field: str) -> object:
    """Returns the value of the field with the dotted name `field`."""
    return functools.reduce(getattr, field.split("."), experiment)


def with_values(experiment: Experiment, values: dict[str, object]) -> Experiment:
    """Returns `experiment` with the `values` by dotted name `SECTION.FIELD`."""
    for field, value in values.items():
        section, _, name = field.partition(".")
        changed = dataclasses.replace(getattr(experiment, section), **{name: value})
        experiment = dataclasses.replace(experiment, **{section: changed})
    return experiment


def open_fields(experiment: Experiment) -> list[str]:
    """Lists the dotted names of the fields that are still to be chosen; none after the choice."""
    found = [field for field in GAPS if value_of(experiment, field) is None]
    return found + [
        field
        for field, gaps in BESIDES.items()
        if value_of(experiment, field) is None and set(gaps) <= set(found)
    ]


def check_filled(experiment: Experiment) -> None:
    """Raises `DeeplabError` where a field of `experiment` is still to be chosen."""
    if found := open_fields(experiment):
        raise DeeplabError(
            f"config.{found[0]} is still open{_row(experiment)}: deeplab-train chooses it from the "
            f"data set and the machine. Received: {', '.join(found)} open"
        )


def known(value: T | None) -> T:
    """Returns the value of a field that is chosen by now.

    Raises:
        DeeplabError: the field is still open.
    """
    if value is None:
        raise DeeplabError(
            "the config has a field that deeplab-train chooses from the data set and the machine, "
            f"one of {', '.join(GAPS)}; give the config.json of a run"
        )
    return value


def _row(experiment: Experiment) -> str:
    return f" in {experiment.row}" if experiment.row else ""
