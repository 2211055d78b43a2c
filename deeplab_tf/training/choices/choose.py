"""The choice of a run's open fields: made once, and kept by its workdir from then on."""

import json
import pathlib
from collections.abc import Sequence

import tensorflow as tf

from deeplab_tf.artefacts.trained_model import segments
from deeplab_tf.config import Experiment, validate
from deeplab_tf.config.gaps import open_fields, value_of, with_values
from deeplab_tf.data.mixture import MixedSplit
from deeplab_tf.data.records import Records
from deeplab_tf.distributed.processes import Workers
from deeplab_tf.named import is_a_name
from deeplab_tf.named.table import BACKBONE, MODELS
from deeplab_tf.runs.checkpoints import checkpoint_steps
from deeplab_tf.runs.workdir import read_experiment
from deeplab_tf.training.choices.choice import Begin, format_value, table
from deeplab_tf.training.choices.facts import Machine, describe_data, describe_machine
from deeplab_tf.training.choices.rules import fill


def choose_open_fields(
    experiment: Experiment,
    records: Records,
    mixed_in: Sequence[MixedSplit],
    strategy: tf.distribute.Strategy,
    workers: Workers,
    workdir: pathlib.Path,
) -> tuple[Experiment, list[str]]:
    """Fills the open fields of `experiment`; all workers must call this function.

    A run that goes on has the values that it was begun with, whatever the machine is now. The
    workers of a new run plan with the memory of the one that has least.

    Returns:
        The experiment without open fields, and the lines that say what was chosen and why.

    Raises:
        DeeplabError: a record file or the run's `config.json` is damaged, or a value that is given
            does not go with the others.
    """
    found = open_fields(experiment)
    machine = None
    if found or workers.count > 1:
        # A worker that was given another row takes part too, or the others would wait for it.
        machine = _least(describe_machine(strategy, workers), workers)
    if found and checkpoint_steps(workdir):
        kept = read_experiment(workdir)
        values = {field: value_of(kept, field) for field in found}
        experiment = validate(with_values(experiment, values))
        shown = ", ".join(f"{field}={format_value(values[field])}" for field in found)
        return experiment, [f"chosen when the run was begun: {shown}"]
    if not found or machine is None:
        return experiment, []
    facts = describe_data(experiment, records, mixed_in)
    experiment, choices, notes = fill(experiment, facts, machine, how_it_begins(experiment))
    return experiment, [table(choices), *notes]


def how_it_begins(experiment: Experiment) -> Begin:
    """Returns what kind of weights a training begins with; a file that is missing is told later."""
    if experiment.previous_stage:
        return Begin.SEGMENTER
    if experiment.init_from is None:
        return Begin.RANDOM
    if is_a_name(experiment.init_from):
        backbone = MODELS[experiment.init_from].classes == BACKBONE
        return Begin.CLASSIFIER if backbone else Begin.SEGMENTER
    file = pathlib.Path(experiment.init_from)
    return Begin.SEGMENTER if file.is_file() and segments(file) else Begin.CLASSIFIER


def _least(machine: Machine, workers: Workers) -> Machine:
    """Returns the machine with the least memory of all workers' and the kind of worker 0's."""
    mine = json.dumps([machine.device, machine.memory, machine.host])
    devices, memory, host = zip(*map(json.loads, workers.gather_text(mine)), strict=True)
    return Machine(devices[0], machine.replicas, _minimum(memory), _minimum(host))


def _minimum(values: Sequence[int | None]) -> int | None:
    return min((value for value in values if value is not None), default=None)
