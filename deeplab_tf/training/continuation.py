"""The check that a workdir holds the run that is to go on there, and the files it compares with.

Tested in tests/runs/test_checkpoints.py.
"""

import pathlib

from deeplab_tf import config as config_lib
from deeplab_tf.config import Experiment, training_differences
from deeplab_tf.data.records import Records
from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import write_text
from deeplab_tf.runs.checkpoints import checkpoint_steps
from deeplab_tf.runs.workdir import CONFIG_FILE, DATA_FILE, data_to_json, read_data, read_experiment
from deeplab_tf.training.class_weights import record_class_weights


def check_workdir(workdir: pathlib.Path, experiment: Experiment, records: Records) -> None:
    """Checks that `experiment` on `records` is the run whose checkpoints are in `workdir`.

    Any run may begin in a workdir without a checkpoint.

    Raises:
        DeeplabError: the run was begun with another experiment or data set; the message names the
            fields.
    """
    if not checkpoint_steps(workdir):
        return
    differences = [
        f"{name}={before} (received {now})"
        for name, before, now in training_differences(read_experiment(workdir), experiment)
    ]
    if differences:
        raise DeeplabError(
            f"workdir {workdir} holds a run with {'; '.join(differences)}. "
            "Use another --workdir, or the same values to go on"
        )
    classes, fingerprint = read_data(workdir)
    if classes != records.classes:
        raise DeeplabError(f"workdir {workdir} holds a run on other classes; use another --workdir")
    if fingerprint != records.fingerprint:
        raise DeeplabError(
            f"workdir {workdir} holds a run on other images or masks than {records.folder} has "
            "now; use another --workdir"
        )


def describe_workdir(
    workdir: pathlib.Path,
    experiment: Experiment,
    records: Records,
    class_weights: dict[str, float] | None = None,
) -> None:
    """Writes the description of the run into `workdir`, for `check_workdir` and `check_recorded`.

    The description is the resolved experiment, the classes and fingerprint of the data, and the
    class weights by class name.
    """
    record_class_weights(workdir, class_weights)
    write_text(workdir / DATA_FILE, data_to_json(records.classes, records.fingerprint))
    write_text(workdir / CONFIG_FILE, config_lib.to_json(experiment))
