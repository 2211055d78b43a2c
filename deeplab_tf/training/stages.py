"""A training and the stages before it, such as COCO, then VOC, then VOC with frozen batch norm."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable

from deeplab_tf.artefacts.trained_model import read_description
from deeplab_tf.config import FREE, Experiment, load_experiment, training_differences
from deeplab_tf.distributed.processes import workers_of
from deeplab_tf.distributed.watch import naming_lost_worker
from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import held_folder, is_mirrored
from deeplab_tf.runs.checkpoints import checkpoint_steps
from deeplab_tf.runs.workdir import (
    CLASS_WEIGHTS_FILE,
    CONFIG_FILE,
    MODEL_FILE,
    PREVIOUS_STAGE_DIR,
    read_experiment,
)
from deeplab_tf.training.continuation import check_replaceable
from deeplab_tf.training.like import resolve_like
from deeplab_tf.training.loop import TrainingResult, train_run
from deeplab_tf.training.resolve import resolve_run


def train(
    experiment: Experiment,
    data_dir: str | os.PathLike,
    workdir: str | os.PathLike,
    repeat_of: str | os.PathLike | None = None,
    report: Callable[[str], None] = print,
) -> TrainingResult:
    """Trains the stages before `experiment` and then `experiment` itself, each in its own folder.

    `previous_stage` of an experiment names the stage before it. That stage lies in the folder
    `previous_stage` inside the folder of the later stage, and has the same initial weights, seed
    and devices. A stage is skipped where its `model.keras` exists, whichever machine wrote the
    file, or where the stage after it has a checkpoint.

    Args:
        experiment: the last stage.
        data_dir: the folder of the records.
        workdir: the folder of the last stage.
        repeat_of: the workdir that `experiment` was read from. The stages are then trained as they
            were in `repeat_of`, with the class weights that `repeat_of` keeps, even where the files
            of the weights have changed or are gone.
        report: gets each line that the user should see.

    Returns:
        The result of the last stage that was trained. No stage begins after one that a signal
        stopped.

    Raises:
        DeeplabError: an error of `resolve_run` or `train_run`; another worker is gone; a
            `model.keras` belongs to another stage; another process trains in `workdir`; a folder
            has other files under the names of a run's. Every stage is resolved before the first
            begins.
    """
    experiment = resolve_like(experiment, report=report)
    data_dir, workdir = pathlib.Path(data_dir), pathlib.Path(workdir)
    repeat_of = None if repeat_of is None else pathlib.Path(repeat_of)
    workers = workers_of(experiment.train.strategy)
    place: contextlib.AbstractContextManager = contextlib.nullcontext()
    if workers.is_chief:
        place = held_folder(workdir, f"{workdir} is being trained in by another process")
    else:
        report(f"worker {workers.index} of {workers.count}; worker 0 has the output")
        report = _silent

    def go_on() -> str:
        if not workers.is_chief and is_mirrored(workdir):
            return " to go on from the last checkpoint"  # which this worker has not fetched
        return f" to go on from step {max(checkpoint_steps(workdir), default=0)}"

    with place, naming_lost_worker(workers, go_on):
        stages = _stages_to_do(experiment, workdir, repeat_of)
        if workers.is_chief:
            for _, folder, _ in stages:
                check_replaceable(folder)
        # All stages are resolved before the first begins: it may train for days.
        runs = [resolve_run(stage, data_dir, folder) for stage, folder, _ in stages]
        for number, (run, (stage, folder, source)) in enumerate(
            zip(runs, stages, strict=True), start=1
        ):
            if len(stages) > 1:
                report(f"stage {number} of {len(stages)}: {stage.row or 'this config'} in {folder}")
            result = train_run(run, report, source)
            if result.stopped_by:
                break
    return result


def _silent(line: str) -> None:
    """Drops the lines of a worker other than worker 0, which has the same."""


def _stages_to_do(
    experiment: Experiment, workdir: pathlib.Path, repeat_of: pathlib.Path | None
) -> list[tuple[Experiment, pathlib.Path, pathlib.Path | None]]:
    """Returns the stages that are not done, first stage first.

    Each entry is (experiment, folder of the stage, folder of the run to repeat or None).
    """
    stages = [(_with_kept_weights(experiment, repeat_of), workdir, repeat_of)]
    rows = {experiment.row}
    while experiment.previous_stage and not checkpoint_steps(workdir):
        before, repeat_of = _stage_before(experiment.previous_stage, repeat_of)
        if before.row in rows:
            raise DeeplabError(f"config.previous_stage goes in a circle: {before.row} comes twice")
        rows.add(before.row)
        kept = {name: getattr(experiment.train, name) for name in {*FREE, "seed"}}
        experiment = dataclasses.replace(
            before,
            init_from=experiment.init_from,
            train=dataclasses.replace(before.train, **kept),
        )
        workdir = workdir / PREVIOUS_STAGE_DIR
        if (workdir / MODEL_FILE).is_file():
            _check_stage(experiment, workdir / MODEL_FILE)
            break
        stages.insert(0, (_with_kept_weights(experiment, repeat_of), workdir, repeat_of))
    return stages


def _stage_before(
    row: str, repeat_of: pathlib.Path | None
) -> tuple[Experiment, pathlib.Path | None]:
    """Returns the stage `row`, and its folder in `repeat_of` where the stage is read from there.

    The copy in `repeat_of` goes first, since the file that `row` names may have changed.
    """
    folder = repeat_of / PREVIOUS_STAGE_DIR if repeat_of else None
    if folder and (folder / CONFIG_FILE).is_file():
        return read_experiment(folder), folder
    return load_experiment(row), None


def _with_kept_weights(experiment: Experiment, repeat_of: pathlib.Path | None) -> Experiment:
    """Returns `experiment` with the copy of the class weights in `repeat_of`.

    `experiment` stays as it is where its class weights were not read from a file.
    """
    given = experiment.train.class_weights
    if repeat_of is None or given in ("none", "auto"):
        return experiment
    kept = repeat_of / CLASS_WEIGHTS_FILE
    # A flag may name another file than the run in `repeat_of` had; that file is used then.
    if not kept.is_file() or read_experiment(repeat_of).train.class_weights != given:
        return experiment
    changed = dataclasses.replace(experiment.train, class_weights=str(kept))
    return dataclasses.replace(experiment, train=changed)


def _check_stage(stage: Experiment, model: pathlib.Path) -> None:
    """Raises `DeeplabError` where `model` was not trained as `stage` says."""
    found, _ = read_description(model)
    differences = [
        f"{name}={theirs} instead of {wanted}"
        for name, wanted, theirs in training_differences(stage, found)
    ]
    if differences:
        raise DeeplabError(
            f"{model} must have been trained as {stage.row}. Received: {'; '.join(differences)}. "
            f"Remove the file to train {stage.row} again, or begin with the file by "
            "--config.previous_stage= --config.init_from=FILE"
        )
