"""The check that all workers have been given the same training.

Tested in tests/runs/test_same_run.py.
"""

import dataclasses
import json

from deeplab_tf.config import Experiment
from deeplab_tf.data.records import Records
from deeplab_tf.distributed.processes import Workers
from deeplab_tf.errors import DeeplabError

ABSENT = "absent"
"""The word for a field that a worker's version of the package does not have."""


def check_same_run(
    workers: Workers,
    experiment: Experiment,
    records: Records,
    class_weights: dict[str, float] | None,
) -> None:
    """Checks that every worker has the experiment, records and class weights that worker 0 has.

    All workers must call this function.

    Raises:
        DeeplabError: a worker has others. Every worker raises the same message, which names that
            worker and the fields.
    """
    mine: dict[str, object] = {
        f"{section}.{name}": value
        for section in ("model", "data", "train", "evaluate")
        for name, value in dataclasses.asdict(getattr(experiment, section)).items()
    }
    # The path of the class weights file may differ between machines, so the weights are compared.
    mine |= {"train.class_weights": class_weights, "the records": records.fingerprint[:12]}
    first, *others = (json.loads(text) for text in workers.gather_text(json.dumps(mine)))
    for number, fields in enumerate(others, start=1):
        # Where versions of the package differ, a field may be missing on one side.
        differences = [
            f"{name}={fields.get(name, ABSENT)} (worker 0: {first.get(name, ABSENT)})"
            for name in first | fields
            if fields.get(name, ABSENT) != first.get(name, ABSENT)
        ]
        if differences:
            raise DeeplabError(
                f"worker {number} was given another training: {'; '.join(differences)}. Start all "
                "workers with the same command and the same version of deeplab_tf"
            )
