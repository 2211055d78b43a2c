"""Which trainings are the same, and in which fields two of them differ."""

import dataclasses

from deeplab_tf.config.schema import Experiment

FREE = frozenset({"strategy", "log_every", "checkpoint_every", "panels_every", "keep_checkpoints"})
"""Fields of `train` that change no weight: where it runs, and how often it writes. (With batch norm
`train` the number of devices does count in its statistics.)"""


def training_fields(experiment: Experiment) -> dict:
    """What makes a training what it is, by dotted name; how it is evaluated is not part of it."""
    fields = {"init_from": experiment.init_from, "previous_stage": experiment.previous_stage}
    for section in ("model", "data", "train"):
        values = dataclasses.asdict(getattr(experiment, section))
        fields |= {f"{section}.{name}": v for name, v in values.items() if name not in FREE}
    return fields


def training_differences(earlier: Experiment, now: Experiment) -> list[str]:
    """The differing fields, each as `FIELD=EARLIER (received NOW)`."""
    before, after = training_fields(earlier), training_fields(now)
    return [
        f"{name}={before[name]} (received {after[name]})"
        for name in before
        if before[name] != after[name]
    ]
