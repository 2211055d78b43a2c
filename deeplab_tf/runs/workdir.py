"""The workdir of one training run: the names of its files, and functions that read them.

Tested in tests/training/test_stages.py and tests/runs/test_checkpoints.py, through `check_workdir`,
and in tests/evaluation/test_compare.py.
"""

import json
import pathlib
import re

from deeplab_tf import config as config_lib
from deeplab_tf.config import Experiment
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.files import beside, json_with
from deeplab_tf.images.classes import Classes

CONFIG_FILE = "config.json"
"""The resolved experiment, written before the first step."""

DATA_FILE = "data.json"
"""The classes, and the fingerprint of the records that the run is trained on."""

CLASS_WEIGHTS_FILE = "class_weights.json"
"""The class weights of the loss, `{class name: weight}`, where the loss has any."""

ENVIRONMENT_FILE = "environment.json"
"""Versions, processor and settings that the run computes under, and its `init_from` file's hash."""

CHECKPOINT_DIR = "checkpoints"
CHECKPOINT_NAME = "step"
METRICS_FILE = "metrics.jsonl"
"""The training's log, one JSON object a line: with `step`, `loss`, `learning_rate` and more of the
training, or with `step`, `val_mean_iou` and `val_loss` of an evaluation in the run."""

VALIDATION_FILE = "validation.json"
"""The evaluations of the run while it trained: mean IoU, loss and IoU by class, by step."""

MODEL_FILE = "model.keras"

BEST_FILE = "best.keras"
"""The best weights so far of a run that keeps the best, in the form of `MODEL_FILE`."""

EVAL_FILE = "eval.json"
"""The figures of an evaluation, with what was evaluated and how."""

PREVIOUS_STAGE_DIR = "previous_stage"
"""The workdir of the previous stage's training, where the experiment has a `previous_stage`."""


is_config = json_with("model", "data", "train", "evaluate")
"""Recognises a `CONFIG_FILE`."""
is_data = json_with("labels", "fingerprint")
"""Recognises a `DATA_FILE`."""
WORKDIR_FILES = {
    DATA_FILE: is_data,
    CONFIG_FILE: is_config,
    # Others have class weights and metrics of the same form, so the file beside them tells.
    CLASS_WEIGHTS_FILE: beside(DATA_FILE, is_data),
    METRICS_FILE: beside(DATA_FILE, is_data),
    ENVIRONMENT_FILE: json_with("init_from", "from"),
    VALIDATION_FILE: json_with("split", "validations"),
}
"""The recognisers of a run's files by their names, without the checkpoints, `MODEL_FILE` and
`BEST_FILE`."""


def initial_weights_file(experiment: Experiment, workdir: pathlib.Path) -> str | None:
    """Returns the `.keras` file that the run in `workdir` begins with; None for random weights."""
    if experiment.previous_stage:
        return str(workdir / PREVIOUS_STAGE_DIR / MODEL_FILE)
    return experiment.init_from


def read_experiment(workdir: pathlib.Path) -> Experiment:
    """Reads the run's experiment.

    Raises:
        DeeplabError: the file does not exist or is wrong; the message names the file and the fault.
    """
    return config_lib.load_experiment(str(workdir / CONFIG_FILE))


def data_to_json(classes: Classes, fingerprint: str) -> str:
    """Returns the text of `DATA_FILE`, which `read_data` reads."""
    return json.dumps({"labels": classes.to_dict(), "fingerprint": fingerprint}, indent=2)


def read_data(workdir: pathlib.Path) -> tuple[Classes, str]:
    """Reads the run's classes and the fingerprint of its records.

    Raises:
        DeeplabError: the file does not exist or is damaged; the message names the file.
    """
    path = workdir / DATA_FILE
    try:
        fields = json.loads(path.read_text())
        return Classes.from_dict(fields["labels"]), str(fields["fingerprint"])
    except FileNotFoundError as error:
        raise DeeplabError(
            f"workdir {workdir} has no {DATA_FILE}; train it again with deeplab-train"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DeeplabError(
            f"{path} is damaged ({one_line(str(error))}); train again in another workdir"
        ) from error


def last_step(workdir: pathlib.Path) -> int | None:
    """Returns the largest step of a checkpoint on disk, whole or not; None where there is none."""
    indices = (workdir / CHECKPOINT_DIR).glob(f"{CHECKPOINT_NAME}-*.index")
    found = [re.fullmatch(rf"{CHECKPOINT_NAME}-(\d+)", path.stem) for path in indices]
    return max((int(match[1]) for match in found if match), default=None)


def read_metrics(path: pathlib.Path) -> list[dict]:
    """Reads the lines of a `METRICS_FILE`; returns an empty list where the file does not exist.

    Reading ends before a line that a kill or a full disk cut off.
    """
    rows = []
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
