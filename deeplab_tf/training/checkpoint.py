"""Checkpoints of a run, and the check that a workdir goes on with the run that it holds."""

import dataclasses
import json
import pathlib

import keras
import tensorflow as tf

from deeplab_tf import config as config_lib
from deeplab_tf.config import Experiment
from deeplab_tf.data.labels import LabelSet
from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import write_text
from deeplab_tf.trained_model import CHECKPOINT_DIR, CONFIG_FILE, LABELS_FILE, restore

# What may change between the start of a run and its resumption without changing its result.
_FREE = {"strategy", "log_every", "checkpoint_every", "panels_every", "keep_checkpoints"}


class Checkpoints:
    """Rotated checkpoints of a model and its optimiser in `workdir/checkpoints`.

    TensorFlow writes the files of a checkpoint beside and renames them before it points the state
    file at them, so that a killed run always finds its last whole one.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        keep: int,
    ):
        self._manager = tf.train.CheckpointManager(
            tf.train.Checkpoint(model=model, optimizer=optimizer),
            str(workdir / CHECKPOINT_DIR),
            max_to_keep=keep,
            checkpoint_name="step",
        )
        self._optimizer = optimizer

    @property
    def latest(self) -> str | None:
        """Path prefix of the last whole checkpoint."""
        return self._manager.latest_checkpoint

    def _step(self) -> int:
        return int(self._optimizer.iterations.numpy())  # pyright: ignore[reportArgumentType]

    def save(self) -> str:
        """Writes a checkpoint of the current step and returns its path prefix."""
        step = self._step()
        path = self._manager.save(checkpoint_number=step)
        if path is None:
            raise DeeplabError(f"checkpoint of step {step} could not be written")
        return path

    def restore(self) -> int:
        """Goes back to the last checkpoint, if there is one; returns the step to go on from."""
        if self.latest is None:
            return 0
        restore(self._manager.checkpoint, self.latest)
        return self._step()


def claim_workdir(workdir: pathlib.Path, experiment: Experiment, labels: LabelSet) -> None:
    """Writes the resolved config and classes, or checks that the workdir holds this very run.

    Raises:
        DeeplabError: the workdir was begun with another config or data set; names the fields.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / CONFIG_FILE
    if path.exists():
        earlier = config_lib.load_experiment(str(path))
        differences = _differences(earlier, experiment)
        if differences:
            raise DeeplabError(
                f"workdir {workdir} holds a run with {'; '.join(differences)}. "
                "Use another --workdir, or the same values to go on"
            )
        if json.loads((workdir / LABELS_FILE).read_text()) != labels.to_dict():
            raise DeeplabError(f"workdir {workdir} holds a run on other classes; use another one")
    write_text(workdir / LABELS_FILE, json.dumps(labels.to_dict(), indent=2))
    write_text(path, config_lib.to_json(experiment))


def _differences(earlier: Experiment, now: Experiment) -> list[str]:
    found = []
    for section in ("model", "data", "train"):
        before = dataclasses.asdict(getattr(earlier, section))
        after = dataclasses.asdict(getattr(now, section))
        found += [
            f"{section}.{name}={before[name]} (received {after[name]})"
            for name in before
            if name not in _FREE and before[name] != after[name]
        ]
    return found
