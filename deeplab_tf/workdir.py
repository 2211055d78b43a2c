"""The folder of one training run: the names of what is in it, and its readers."""

import json
import math
import pathlib
import re

from deeplab_tf import config as config_lib
from deeplab_tf.config import Experiment
from deeplab_tf.data.labels import LabelSet
from deeplab_tf.errors import DeeplabError, one_line

CONFIG_FILE = "config.json"
"""The resolved experiment, written before the first step."""

DATA_FILE = "data.json"
"""The classes, and the fingerprint of the records that the run is trained on."""

CLASS_WEIGHTS_FILE = "class_weights.json"
"""The class weights of the loss, `{class name: weight}`, where it has any."""

ENVIRONMENT_FILE = "environment.json"
"""Versions, processor and settings under which the run computes, and what it began with."""

CHECKPOINT_DIR = "checkpoints"
CHECKPOINT_NAME = "step"
METRICS_FILE = "metrics.jsonl"
"""The training's log, one JSON object a line with `step`, `loss`, `learning_rate` and more."""

MODEL_FILE = "model.keras"

EVAL_FILE = "eval.json"
"""The figures of an evaluation, with what was evaluated and how."""

PREVIOUS_STAGE_DIR = "previous_stage"
"""The workdir of the training before this one, where the experiment has a `previous_stage`."""


def initial_weights_file(experiment: Experiment, workdir: pathlib.Path) -> str | None:
    """The `.keras` file that the run in `workdir` begins with, or None for random weights."""
    if experiment.previous_stage:
        return str(workdir / PREVIOUS_STAGE_DIR / MODEL_FILE)
    return experiment.init_from


def read_config(workdir: pathlib.Path) -> Experiment:
    """The run's experiment; raises `DeeplabError` naming the file and what is wrong in it."""
    return config_lib.load_experiment(str(workdir / CONFIG_FILE))


def data_to_json(labels: LabelSet, fingerprint: str) -> str:
    """The text of `DATA_FILE`."""
    return json.dumps({"labels": labels.to_dict(), "fingerprint": fingerprint}, indent=2)


def read_data(workdir: pathlib.Path) -> tuple[LabelSet, str]:
    """The run's classes and the fingerprint of its records; raises `DeeplabError` as above."""
    path = workdir / DATA_FILE
    try:
        fields = json.loads(path.read_text())
        return LabelSet.from_dict(fields["labels"]), str(fields["fingerprint"])
    except FileNotFoundError as error:
        raise DeeplabError(
            f"workdir {workdir} has no {DATA_FILE}; train it again with deeplab-train"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DeeplabError(
            f"{path} is damaged ({one_line(str(error))}); train again in another workdir"
        ) from error


def checkpoint_steps(workdir: pathlib.Path) -> list[int]:
    """The steps of the checkpoints on disk that are whole, rising; raises as below."""
    return inspect_checkpoints(workdir)[0]


def inspect_checkpoints(workdir: pathlib.Path) -> tuple[list[int], dict[int, str]]:
    """The steps of the checkpoints on disk that are whole, rising, and of each other one what is
    wrong with it.

    Read from the files themselves and not from TensorFlow's state file beside them, so that a
    deleted checkpoint is gone and a damaged state file costs nothing.

    Raises:
        DeeplabError: a checkpoint cannot be read, or several are there and none is whole.
    """
    found = {step: checkpoint_damage(workdir, step) for step in _steps_on_disk(workdir)}
    broken = {step: damage for step, damage in found.items() if damage is not None}
    if len(found) > 1 and len(broken) == len(found):  # a kill cuts one
        raise DeeplabError(
            f"all {len(found)} checkpoints in {workdir / CHECKPOINT_DIR} are damaged; use another "
            "workdir, or delete them to begin again"
        )
    return [step for step in found if step not in broken], broken


def _steps_on_disk(workdir: pathlib.Path) -> list[int]:
    indices = (workdir / CHECKPOINT_DIR).glob(f"{CHECKPOINT_NAME}-*.index")
    found = [re.fullmatch(rf"{CHECKPOINT_NAME}-(\d+)", path.stem) for path in indices]
    return sorted(int(match[1]) for match in found if match)


def checkpoint_damage(workdir: pathlib.Path, step: int) -> str | None:
    """What is wrong with a checkpoint, as far as its index and the sizes of its files tell.

    TensorFlow writes the index last and in place: where a kill cut it off, it does not open. The
    numbers themselves have checksums, which are looked at when they are read.
    """
    import tensorflow as tf

    prefix = checkpoint_prefix(workdir, step)
    try:
        reader = tf.train.load_checkpoint(prefix)
    except tf.errors.OpError as error:
        if re.search("sstable|checksum", str(error)):
            return "its index is cut off or damaged"
        raise DeeplabError(
            f"checkpoint {prefix}.index cannot be read: {one_line(str(error))[:200]}; mend that, "
            f"or delete {prefix}.* to go on from the one before"
        ) from error
    shards = list((workdir / CHECKPOINT_DIR).glob(f"{CHECKPOINT_NAME}-{step}.data-*"))
    wanted = int(shards[0].name.rpartition("-")[2]) if shards else 1
    if len(shards) < wanted:
        return f"{wanted - len(shards)} of its {wanted} data files is missing"
    found = sum(path.stat().st_size for path in shards)
    shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    numbers = sum(math.prod(shape) * dtypes[name].size for name, shape in shapes.items())
    try:
        # The only text, which has no size in advance and lies at the end.
        expected = numbers + len(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
    except (tf.errors.OpError, IndexError):  # the latter where it reads past the end
        expected = max(numbers, found + 1)
    return None if found >= expected else f"its data is cut off at {found:,} bytes"


def checkpoint_prefix(workdir: pathlib.Path, step: int) -> str:
    """What TensorFlow calls the path of a checkpoint: its files' names begin so."""
    return str(workdir / CHECKPOINT_DIR / f"{CHECKPOINT_NAME}-{step}")


def read_metrics(path: pathlib.Path) -> list[dict]:
    """The lines of a `METRICS_FILE`, none if it is absent.

    It ends at a line that a kill or a full disk cut off.
    """
    rows = []
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
