"""The checkpoints of a run: how they are inspected, restored and written."""

import math
import os
import pathlib
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import keras
import tensorflow as tf

from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.files import synced
from deeplab_tf.machine.system import flush
from deeplab_tf.runs.average import averages, evaluated_weights
from deeplab_tf.runs.workdir import CHECKPOINT_DIR, CHECKPOINT_NAME

AVERAGED = "averaged"
"""The name in a checkpoint of the weights to evaluate with, in the order of `model.weights`, where
the training keeps an average of the weights."""
READS = 20
"""How often checkpoints are read anew because a training deleted one in the meantime."""
T = TypeVar("T")


def checkpoint_steps(workdir: pathlib.Path) -> list[int]:
    """Returns the steps of the checkpoints on disk that are whole, rising.

    Raises:
        DeeplabError: a checkpoint cannot be read, or there are several and none is whole.
    """
    return inspect_checkpoints(workdir)[0]


def inspect_checkpoints(workdir: pathlib.Path) -> tuple[list[int], dict[int, str]]:
    """Returns the steps of the whole checkpoints on disk, rising, and the damage of the others.

    The damage is given by step, in words. The checkpoints are found by their own files and not by
    TensorFlow's state file, so that a deleted checkpoint is gone and a damaged state file costs
    nothing.

    Raises:
        DeeplabError: a checkpoint cannot be read, or there are several and none is whole.
    """
    found = _settled(workdir, lambda: _damages(workdir))
    broken = {step: damage for step, damage in found.items() if damage is not None}
    if len(found) > 1 and len(broken) == len(found):  # a kill cuts off only one
        raise DeeplabError(
            f"all {len(found)} checkpoints in {workdir / CHECKPOINT_DIR} are damaged; use another "
            "workdir, or delete them to begin again"
        )
    return [step for step in found if step not in broken], broken


def _damages(workdir: pathlib.Path) -> dict[int, str | None]:
    found = {step: checkpoint_damage(workdir, step) for step in _steps_on_disk(workdir)}
    now = _steps_on_disk(workdir)
    for step, damage in found.items():
        if damage is not None and step not in now:
            raise DeeplabError(f"checkpoint {checkpoint_prefix(workdir, step)} was deleted")
    return found


def _settled(workdir: pathlib.Path, read: Callable[[], T]) -> T:
    """Calls `read`, and calls it anew where it failed and a checkpoint disappeared meanwhile.

    A training deletes an older checkpoint at any time, also while another process reads it.

    Raises:
        DeeplabError: `read` raised it, or a checkpoint disappeared during each of `READS` calls.
    """
    for _ in range(READS):
        before = set(_steps_on_disk(workdir))
        try:
            return read()
        except DeeplabError:
            if before <= set(_steps_on_disk(workdir)):
                raise
    raise DeeplabError(
        f"the checkpoints in {workdir / CHECKPOINT_DIR} are replaced faster than they are read; "
        "train with a higher train.keep_checkpoints"
    )


def _steps_on_disk(workdir: pathlib.Path) -> list[int]:
    indices = (workdir / CHECKPOINT_DIR).glob(f"{CHECKPOINT_NAME}-*.index")
    found = [re.fullmatch(rf"{CHECKPOINT_NAME}-(\d+)", path.stem) for path in indices]
    return sorted(int(match[1]) for match in found if match)


def checkpoint_damage(workdir: pathlib.Path, step: int) -> str | None:
    """Returns what is wrong with a checkpoint by its index and the sizes of its files, or None.

    TensorFlow writes the index last and in place, so an index that a kill cut off does not open.
    The numbers themselves have checksums, which are checked only when the numbers are read.

    Raises:
        DeeplabError: the index cannot be read for another reason.
    """
    prefix = checkpoint_prefix(workdir, step)
    try:
        reader = tf.train.load_checkpoint(prefix)
    except tf.errors.OpError as error:
        if re.search("sstable|checksum", str(error)):
            return "its index is cut off or damaged"
        raise DeeplabError(
            f"checkpoint {prefix}.index cannot be read: {one_line(str(error))[:200]}; make the "
            f"file readable, or delete {prefix}.* to go on from the checkpoint before"
        ) from error
    shards = list((workdir / CHECKPOINT_DIR).glob(f"{CHECKPOINT_NAME}-{step}.data-*"))
    wanted = int(shards[0].name.rpartition("-")[2]) if shards else 1
    if len(shards) < wanted:
        lost = wanted - len(shards)
        return f"{lost} of its {wanted} data files {'is' if lost == 1 else 'are'} missing"
    found = sum(path.stat().st_size for path in shards)
    shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    numbers = sum(math.prod(shape) * dtypes[name].size for name, shape in shapes.items())
    try:
        # The object graph is the only text, has no size in advance and lies at the end.
        expected = numbers + len(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
    except (tf.errors.OpError, IndexError):  # IndexError where the reader passes the file's end
        expected = max(numbers, found + 1)
    return None if found >= expected else f"its data is cut off at {found:,} bytes"


def checkpoint_prefix(workdir: pathlib.Path, step: int) -> str:
    """Returns the path of a checkpoint as TensorFlow takes it: its files' names begin like that."""
    return str(workdir / CHECKPOINT_DIR / f"{CHECKPOINT_NAME}-{step}")


def restore_last(
    checkpoint: tf.train.Checkpoint, workdir: pathlib.Path
) -> tuple[int | None, dict[int, str]]:
    """Restores every object of `checkpoint` from the last whole checkpoint in `workdir`.

    Where a training deletes that checkpoint in the meantime, its newer one is restored.

    Returns:
        The step of that checkpoint, None where there is none, and the damage of each broken
        checkpoint by its step.

    Raises:
        DeeplabError: the checkpoint is of another architecture, or there are several and none is
            whole.
    """
    return _settled(workdir, lambda: _restore_last(checkpoint, workdir))


def _restore_last(
    checkpoint: tf.train.Checkpoint, workdir: pathlib.Path
) -> tuple[int | None, dict[int, str]]:
    steps, broken = inspect_checkpoints(workdir)
    for step in reversed(steps):
        try:
            restore(checkpoint, checkpoint_prefix(workdir, step))
            return step, broken
        except DeeplabError as error:
            if step == steps[0] or not isinstance(error.__cause__, tf.errors.DataLossError):
                raise
            broken[step] = "its data fails the checksum"
    return None, broken


def describe_broken(workdir: pathlib.Path, broken: dict[int, str]) -> list[str]:
    """Returns one line for each broken checkpoint, in the order of steps, with its damage."""
    return [
        f"note: checkpoint {checkpoint_prefix(workdir, step)} is not whole: {damage}"
        for step, damage in sorted(broken.items())
    ]


def restore(checkpoint: tf.train.Checkpoint, prefix: str) -> None:
    """Restores every object of `checkpoint` from the files at `prefix`.

    Raises:
        DeeplabError: the files are damaged, or of another architecture.
    """
    try:
        # The files also hold the optimiser's state, which an inference model does not restore.
        checkpoint.restore(prefix).assert_existing_objects_matched().expect_partial()
    except (AssertionError, ValueError, IndexError, tf.errors.OpError) as error:
        raise DeeplabError(
            f"checkpoint {prefix} does not fit the model of this config, or is damaged; use "
            f"another workdir, or delete {prefix}.* to go on from the checkpoint before: "
            f"{one_line(str(error))[:200]}"
        ) from error


class Checkpoints:
    """Rotated checkpoints of a model and its optimiser in `workdir/checkpoints`.

    TensorFlow writes a checkpoint's data to a temporary file and renames that file, then writes the
    index; both are flushed to the disk before an older checkpoint is deleted. A killed run
    therefore finds its last whole checkpoint, and the files that it had begun after that are
    removed. Only one of several workers `writes`; the others only restore. `auxiliary` are weights
    that are trained with the model's and that an evaluation of the checkpoint does not need.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        keep: int,
        report: Callable[[str], None] = print,
        writes: bool = True,
        auxiliary: Sequence[keras.Variable] = (),
    ):
        self._workdir = workdir
        self._report = report
        state: dict = {"model": model, "optimizer": optimizer}
        if averages(optimizer):
            # These are the optimiser's own variables, so they are not stored a second time, and a
            # model finds them here without an optimiser.
            state[AVERAGED] = evaluated_weights(model.weights, optimizer)
        if auxiliary:
            state["auxiliary"] = list(auxiliary)
        self._checkpoint = tf.train.Checkpoint(**state)
        self._optimizer = optimizer
        self._keep = keep
        self._writes = writes
        self._manager = None
        if writes:
            self._remove_broken(inspect_checkpoints(workdir)[1])

    def _step(self) -> int:
        return int(self._optimizer.iterations.numpy())  # pyright: ignore[reportArgumentType]

    def save(self) -> None:
        """Writes a checkpoint of the current step; does nothing in a process that only restores.

        Where the workdir is at a store, it is committed there, with the log up to this step.
        """
        if self._manager is None:
            return
        try:
            # TensorFlow calls this back when the files are written, before it names them in its
            # state file and deletes an older checkpoint.
            options = tf.train.CheckpointOptions(experimental_write_callbacks=[_flush])
            self._manager.save(checkpoint_number=self._step(), options=options)
            synced(self._workdir)
        except (tf.errors.OpError, OSError):
            self._remove_unfinished()
            raise

    def restore(self, step: int | None = None) -> int:
        """Restores the checkpoint of `step`, or by default the last whole one, if there is one.

        Returns:
            The step to go on from, 0 without a checkpoint. Broken checkpoints are reported, and a
            process that writes removes them.
        """
        if step is not None:
            restore(self._checkpoint, checkpoint_prefix(self._workdir, step))
            return step
        step, broken = restore_last(self._checkpoint, self._workdir)
        if broken and self._writes:
            self._remove_broken(broken)
        elif broken:
            for line in describe_broken(self._workdir, broken):
                self._report(line)
        return step or 0

    def _remove_broken(self, broken: dict[int, str]) -> None:
        """Reports and removes the checkpoints in `broken`, whose steps will be done again."""
        for line in describe_broken(self._workdir, broken):
            self._report(f"{line}; removed")
        self._remove_unfinished(broken)
        _mend_state(self._workdir)
        # The manager counts the checkpoints in the state file only when it is made.
        self._manager = tf.train.CheckpointManager(
            self._checkpoint,
            str(self._workdir / CHECKPOINT_DIR),
            max_to_keep=self._keep,
            checkpoint_name=CHECKPOINT_NAME,
        )

    def _remove_unfinished(self, broken: Iterable[int] = ()) -> None:
        """Removes unfinished checkpoints, and the checkpoints of the steps in `broken`.

        TensorFlow leaves an unfinished checkpoint when it is killed or the disk is full.
        """
        whole = set(checkpoint_steps(self._workdir)) - set(broken)
        for path in (self._workdir / CHECKPOINT_DIR).glob(f"{CHECKPOINT_NAME}-*"):
            match = re.fullmatch(rf"{CHECKPOINT_NAME}-(\d+)[._].*", path.name)
            if match and (int(match[1]) not in whole or ".tempstate" in path.name):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()


def _flush(prefix: str) -> None:
    """Flushes the files of a checkpoint to the disk, and then their folder."""
    folder = pathlib.Path(prefix).parent
    for path in folder.glob(f"{pathlib.Path(prefix).name}.*"):
        flush(path)
    flush(folder)


def _mend_state(workdir: pathlib.Path) -> None:
    """Writes the checkpoints on disk into TensorFlow's state file, which its rotation reads."""
    folder = workdir / CHECKPOINT_DIR
    prefixes = [checkpoint_prefix(workdir, step) for step in checkpoint_steps(workdir)]
    if prefixes:
        tf.compat.v1.train.update_checkpoint_state(
            str(folder),
            prefixes[-1],
            prefixes,
            # The manager keeps a checkpoint for ever that is not younger than the last preserved.
            all_model_checkpoint_timestamps=[os.path.getmtime(f"{p}.index") for p in prefixes],
            last_preserved_timestamp=0.0,
        )
    else:
        (folder / "checkpoint").unlink(missing_ok=True)
