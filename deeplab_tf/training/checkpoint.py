"""Checkpoints of a run, and the check that a workdir goes on with the run that it holds."""

import os
import pathlib
import re
import shutil
from collections.abc import Iterable

import keras
import tensorflow as tf

from deeplab_tf import config as config_lib
from deeplab_tf.config import Experiment, training_differences
from deeplab_tf.data.records import Records
from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import write_text
from deeplab_tf.trained_model import AVERAGED, describe_broken, restore, restore_last
from deeplab_tf.training.average import averages, evaluated_weights
from deeplab_tf.training.class_weights import record_class_weights
from deeplab_tf.workdir import (
    CHECKPOINT_DIR,
    CHECKPOINT_NAME,
    CONFIG_FILE,
    DATA_FILE,
    checkpoint_prefix,
    checkpoint_steps,
    data_to_json,
    inspect_checkpoints,
    read_config,
    read_data,
)


class Checkpoints:
    """Rotated checkpoints of a model and its optimiser in `workdir/checkpoints`.

    TensorFlow writes a checkpoint's data beside and renames it, then its index: a killed run finds
    its last whole one, and what was begun after it is removed. Of several workers one `writes`, and
    the others only restore.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        keep: int,
        writes: bool = True,
    ):
        self._workdir = workdir
        state: dict = {"model": model, "optimizer": optimizer}
        if averages(optimizer):
            # The optimiser's variables, found without it. (Their values would be stored again.)
            state[AVERAGED] = evaluated_weights(model, optimizer)
        self._checkpoint = tf.train.Checkpoint(**state)
        self._optimizer = optimizer
        self._keep = keep
        self._manager = None
        if writes:
            self._remove_broken(inspect_checkpoints(workdir)[1])

    def _step(self) -> int:
        return int(self._optimizer.iterations.numpy())  # pyright: ignore[reportArgumentType]

    def save(self) -> None:
        """Writes a checkpoint of the current step, where this process is the one that writes."""
        if self._manager is None:
            return
        try:
            self._manager.save(checkpoint_number=self._step())
        except (tf.errors.OpError, OSError):
            self._remove_unfinished()
            raise

    def restore(self, step: int | None = None) -> int:
        """Goes back to the checkpoint of `step`, or to the last whole one, if there is one.

        Returns:
            The step to go on from, 0 without a checkpoint.
        """
        if step is not None:
            restore(self._checkpoint, checkpoint_prefix(self._workdir, step))
            return step
        step, broken = restore_last(self._checkpoint, self._workdir)
        if broken:
            self._remove_broken(broken)
        return step

    def _remove_broken(self, broken: dict[int, str]) -> None:
        """Names and removes what is not whole: its step will be done again."""
        for line in describe_broken(self._workdir, broken):
            print(f"{line}; removed")
        self._remove_unfinished(broken)
        _mend_state(self._workdir)
        # It counts what the state file has when it is made.
        self._manager = tf.train.CheckpointManager(
            self._checkpoint,
            str(self._workdir / CHECKPOINT_DIR),
            max_to_keep=self._keep,
            checkpoint_name=CHECKPOINT_NAME,
        )

    def _remove_unfinished(self, broken: Iterable[int] = ()) -> None:
        """What TensorFlow was writing when it was killed, or when the disk was full, and the
        checkpoints of the steps in `broken`."""
        whole = set(checkpoint_steps(self._workdir)) - set(broken)
        for path in (self._workdir / CHECKPOINT_DIR).glob(f"{CHECKPOINT_NAME}-*"):
            match = re.fullmatch(rf"{CHECKPOINT_NAME}-(\d+)[._].*", path.name)
            if match and (int(match[1]) not in whole or ".tempstate" in path.name):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()


def _mend_state(workdir: pathlib.Path) -> None:
    """Makes TensorFlow's state file, from which its rotation reads, say what is on disk."""
    folder = workdir / CHECKPOINT_DIR
    prefixes = [checkpoint_prefix(workdir, step) for step in checkpoint_steps(workdir)]
    if prefixes:
        tf.compat.v1.train.update_checkpoint_state(
            str(folder),
            prefixes[-1],
            prefixes,
            # The manager keeps for ever what is not younger than what it last preserved.
            all_model_checkpoint_timestamps=[os.path.getmtime(f"{p}.index") for p in prefixes],
            last_preserved_timestamp=0.0,
        )
    else:
        (folder / "checkpoint").unlink(missing_ok=True)


def check_workdir(workdir: pathlib.Path, experiment: Experiment, records: Records) -> None:
    """Checks that `experiment` on `records` is the run whose checkpoints are in `workdir`.

    Without a checkpoint there is nothing to go on with, and anything may begin there.

    Raises:
        DeeplabError: the run was begun with another config or data set; names the fields.
    """
    if not checkpoint_steps(workdir):
        return
    differences = [
        f"{name}={before} (received {now})"
        for name, before, now in training_differences(read_config(workdir), experiment)
    ]
    if differences:
        raise DeeplabError(
            f"workdir {workdir} holds a run with {'; '.join(differences)}. "
            "Use another --workdir, or the same values to go on"
        )
    labels, fingerprint = read_data(workdir)
    if labels != records.labels:
        raise DeeplabError(f"workdir {workdir} holds a run on other classes; use another one")
    if fingerprint != records.fingerprint:
        raise DeeplabError(
            f"workdir {workdir} holds a run on other images or masks than {records.folder} has "
            "now; use another one"
        )


def describe_workdir(
    workdir: pathlib.Path,
    experiment: Experiment,
    records: Records,
    class_weights: dict[str, float] | None = None,
) -> None:
    """Writes the resolved config, the classes and fingerprint of the data, and class weights."""
    record_class_weights(workdir, class_weights)
    write_text(workdir / DATA_FILE, data_to_json(records.labels, records.fingerprint))
    write_text(workdir / CONFIG_FILE, config_lib.to_json(experiment))
