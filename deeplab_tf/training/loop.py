"""The loop of a training: from its data to the final `.keras` file, top to bottom."""

import dataclasses
import math
import os
import pathlib
import signal
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from deeplab_tf.artefacts.best import Best
from deeplab_tf.artefacts.trained_model import TrainedModel, save_model
from deeplab_tf.config import BatchNormMode, Experiment
from deeplab_tf.config.gaps import known
from deeplab_tf.data.records import naming_corrupt_file
from deeplab_tf.distributed.connection import leave
from deeplab_tf.distributed.processes import Workers
from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import refreshed
from deeplab_tf.machine.signals import caught_stops
from deeplab_tf.named import is_a_name, model_path
from deeplab_tf.runs.average import begin_average
from deeplab_tf.runs.checkpoints import Checkpoints, checkpoint_steps
from deeplab_tf.runs.environment import record_environment, repeat_differences
from deeplab_tf.runs.run_log import RunLog
from deeplab_tf.runs.workdir import (
    BEST_FILE,
    MODEL_FILE,
    VALIDATION_FILE,
    initial_weights_file,
)
from deeplab_tf.training.build import Training, build_training
from deeplab_tf.training.class_weights import format_class_weights
from deeplab_tf.training.continuation import describe_workdir
from deeplab_tf.training.first_batch import describe_batch, describe_first_loss
from deeplab_tf.training.initial_weights import load_initial_weights
from deeplab_tf.training.loss_scale import SMALLEST_SCALE
from deeplab_tf.training.missing_statistics import fill_statistics
from deeplab_tf.training.resolve import Run
from deeplab_tf.training.schedule import make_schedule
from deeplab_tf.training.validation import Validator

PANEL_IMAGES = 2


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """How a training ended.

    Attributes:
        step: the last step that was taken; its weights are in the last checkpoint.
        stopped_by: the signal that stopped the run after a checkpoint; None when the run is
            finished and `workdir/model.keras` is written.
        kept: what the weights in `model.keras` are the best of, where the run keeps the best; None
            where they are those of `step`.
    """

    step: int
    stopped_by: signal.Signals | None = None
    kept: Best | None = None


def train_run(
    run: Run, report: Callable[[str], None], repeat_of: pathlib.Path | None = None
) -> TrainingResult:
    """Trains `run`, from the last checkpoint in its workdir if there is one.

    With several workers, each worker calls this function on one shared workdir, and only worker 0
    writes there. A process of several workers that a signal stopped ends here, with the exit code
    128 + the signal's number.

    Args:
        run: what is trained.
        report: gets each line that the user should see.
        repeat_of: the workdir whose run is repeated; all differences from that run are reported.

    Raises:
        DeeplabError: the initial weights do not fit, or a loss, a weight or a logit is not finite.
        tf.errors.OpError: another worker is gone; see `naming_lost_worker`.
    """
    train, workdir, workers = run.experiment.train, run.workdir, run.workers
    if not workers.is_chief:
        refreshed(workdir)  # worker 0 may have written the stage before
    for line in run.choices:
        report(line)
    training = build_training(run)
    experiment = _with_absolute_paths(run.experiment)
    validator = None
    if run.held_out:
        validator = Validator(training, run.held_out, experiment, report)
    initial_weights = initial_weights_file(run.experiment, workdir)
    if train.batch_norm is BatchNormMode.FROZEN and not initial_weights:
        report("note: batch norm is frozen at its random initial state; give config.init_from")
    elif run.experiment.initial_weights and not initial_weights:
        report(
            f"note: the paper begins with weights of {run.experiment.initial_weights}; without "
            "config.init_from this run begins with random weights"
        )

    # A checkpoint in the workdir goes before the initial weights.
    model = training.model
    checkpoints = Checkpoints(
        workdir,
        model,
        training.optimizer,
        train.keep_checkpoints,
        report,
        workers.is_chief,
        training.auxiliary,
    )
    start = _restore(checkpoints, workdir, workers)
    if start:
        report(f"going on from step {start} of {workdir}")
    elif initial_weights:
        report(f"initial weights from {initial_weights}")
        network = training.network
        file = str(model_path(initial_weights, report))
        report(load_initial_weights(network, file, run.experiment.model).table())
        fill_statistics(training, report)
    if not start:
        begin_average(training.optimizer)

    # The run is described only now, when everything that was given has been read.
    if workers.is_chief:
        if not start:
            _forget_evaluations(workdir)
        describe_workdir(workdir, experiment, run.records, run.class_weights)
        for line in _environment_lines(experiment, workdir, start, repeat_of):
            report(line)
    if run.class_weights:
        report(f"class weights ({train.class_weights}): {format_class_weights(run.class_weights)}")
    for line in (*run.held_out_notes, *training.notes, _describe(training)):
        report(line)
    log, history = None, None
    if validator:
        validator.begin(start)
        history = validator.history
    if workers.is_chief:
        classes, image_format = run.records.classes, run.records.image_format
        log = RunLog(workdir, start, known(train.steps), classes, image_format, report, history)
    try:
        with naming_corrupt_file(*training.splits), caught_stops() as received:
            batches = iter(training.batches(start))
            step, stop = _run_steps(
                *(training, start, batches, checkpoints, log, received, report),
                *(not initial_weights, validator),
            )
    finally:
        if log:
            log.close()
    if stop:
        workers.meet()  # waits until worker 0 has written the checkpoint
        stopped_by = signal.Signals(stop)
        report(f"stopped by {stopped_by.name}; checkpoint saved; run the same command to go on")
        leave(workers, 128 + stop)  # keeps `batches`, whose end waits for the other workers
        return TrainingResult(step, stopped_by)
    del batches  # while all workers run, since its end waits for them

    kept = validator.best_kept() if validator else None
    if workers.is_chief:
        if validator and kept:
            validator.write_best()
        else:
            final = TrainedModel(training.evaluated_model(), experiment, run.records.classes)
            final.auxiliary = training.auxiliary_weights()
            save_model(final, workdir / MODEL_FILE)
    workers.meet()
    for line in _end_lines(validator, step, known(train.steps), kept, workdir / MODEL_FILE):
        report(line)
    return TrainingResult(step, kept=kept)


def _forget_evaluations(workdir: pathlib.Path) -> None:
    """Removes what an earlier run in `workdir`, whose checkpoints are gone, has left of its own."""
    for name in (BEST_FILE, VALIDATION_FILE):
        (workdir / name).unlink(missing_ok=True)


def _end_lines(
    validator: Validator | None, step: int, steps: int, kept: Best | None, file: pathlib.Path
) -> list[str]:
    """Returns the last lines of a finished run: why it ended early, the cost, and the result."""
    if validator is None:
        return [f"done: {file}"]
    lines = []
    if step < steps:
        lines.append(f"ended after step {step} of {steps}: {validator.why_exhausted()}")
    if cost := validator.cost(step):
        lines.append(cost)
    return [*lines, f"done: {file}{validator.describe_end(step, kept)}"]


def _describe(training: Training) -> str:
    """Returns one line on the network, the data and the devices."""
    run = training.run
    experiment, workers = run.experiment, run.workers.count
    frozen = experiment.train.freeze_through
    mixed = "".join(f"{part}, " for part in training.mixed_in)
    return (
        f"training {experiment.model.backbone} (output_stride {experiment.model.output_stride}, "
        f"{training.model.count_params():,} weights) on {training.split.num_examples} images of "
        f"{experiment.data.dataset}/{experiment.data.split}, {mixed}"
        f"{run.strategy.num_replicas_in_sync} device(s)"
        + (f" of {workers} workers" if workers > 1 else "")
        + (f", frozen to {frozen}" if frozen else "")
    )


def _restore(checkpoints: Checkpoints, workdir: pathlib.Path, workers: Workers) -> int:
    """Restores on all workers the last whole checkpoint of worker 0; returns its step, or 0."""
    found = checkpoints.restore() if workers.is_chief else 0
    start = workers.gather_flag(found)[0]
    if start and not workers.is_chief:
        refreshed(workdir)
        checkpoints.restore(start)
    return start


def _environment_lines(
    experiment: Experiment, workdir: pathlib.Path, start: int, repeat_of: pathlib.Path | None
) -> list[str]:
    """Records the environment; returns a line on what has changed since the last start of the run.

    A run that repeats `repeat_of` also has a line on its differences from that run.
    """
    # A previous stage's file holds dates, so its sha256 is another each time it is written.
    init_from = None if experiment.previous_stage else experiment.init_from
    if init_from and not start:
        init_from = str(model_path(init_from, report=lambda line: None))
    lines = []
    if changed := record_environment(workdir, start, init_from):
        lines.append(f"note: the run goes on under other conditions: {'; '.join(changed)}")
    if repeat_of is None or start:
        return lines
    changed = repeat_differences(repeat_of, workdir)
    lines.append(
        f"note: this run differs from the run of {repeat_of}: {'; '.join(changed)}"
        if changed
        else f"this run repeats the run of {repeat_of}: same config, data, versions and processor"
    )
    return lines


def _run_steps(
    training: Training,
    start: int,
    batches: Iterator,
    checkpoints: Checkpoints,
    log: RunLog | None,
    received: list[int],
    report: Callable[[str], None],
    fresh: bool,
    validator: Validator | None = None,
) -> tuple[int, int]:
    """Runs the steps after `start` to the last one, or until a worker's `received` has a signal.

    `fresh` says whether the first of all steps is taken with random weights. The run ends before
    its last step where the `validator` has no patience left.

    Returns:
        The last step, and the number of the signal, or 0 when the run is finished.
    """
    workers = training.run.workers

    def stopped() -> int:
        # All workers stop at the same step, or some would wait for the others in the next one.
        return max(workers.gather_flag(max(received, default=0)))

    if validator:
        stop = validator.validate(start, stopped, log) if validator.is_missing(start) else 0
        if stop or validator.is_exhausted:
            return start, stop
        if log:
            log.restart_clock(start)
    train, classes = training.run.experiment.train, training.run.records.classes
    steps = known(train.steps)
    train_step = training.make_step()
    schedule = make_schedule(train)
    predict = tf.function(lambda image: training.model(image, training=False), autograph=False)
    pending: list[dict[str, tf.Tensor]] = []
    for step, batch in zip(range(start + 1, steps + 1), batches, strict=False):
        if step == 1:
            report(describe_batch(*training.on_host(batch), classes))
        pending.append(train_step(*batch))
        if step == 1:
            loss = float(pending[0]["cross_entropy"])
            report(describe_first_loss(loss, classes.num_classes, fresh))
        if step == start + 1:
            # `predict` is traced now, so that a checkpoint after a signal need not wait for it.
            predict(_panel_part(training, batch[0]))
        stop = stopped()
        last = step == steps or stop > 0
        # An evaluation belongs to a checkpoint, from which a killed run goes on with it.
        evaluation_due = validator is not None and validator.due(step)
        checkpoint_due = last or evaluation_due or step % train.checkpoint_every == 0
        if checkpoint_due or step % train.log_every == 0:
            # Losses are read only here: reading them every step would wait for the accelerator.
            values = _mean_losses(pending, step, training.run.workdir)
            pending = []
            values["learning_rate"] = float(schedule(step - 1))
            if log:
                log.write(step, known(train.batch_size), values)
        if checkpoint_due or step % train.panels_every == 0:
            shown, masks = (_panel_part(training, part) for part in batch)
            logits = predict(shown)
            # The loss of a step is of the weights before the step; the weights after it have none
            # yet, so they are checked. Their logits are checked too: a ReLU hides NaN, and finite
            # weights may be too large to use.
            if not all(np.isfinite(values).all() for values in (logits, *training.network.weights)):
                raise DeeplabError(
                    f"the network is broken after step {step}; {_what_to_do(training.run.workdir)}"
                )
        if log and step % train.panels_every == 0:
            log.write_panels(step, shown, masks, tf.argmax(logits, -1))
        if checkpoint_due:
            checkpoints.save()
            if validator and evaluation_due and not stop:
                stop = validator.validate(step, stopped, log)
                last = last or stop > 0 or validator.is_exhausted
            if log:
                log.restart_clock(step)
        if last:
            return step, stop
    return start, 0  # no step was left


def _panel_part(training: Training, part) -> tf.Tensor:
    """Returns the first `PANEL_IMAGES` images, or masks, of one replica's part of a batch."""
    return training.run.strategy.experimental_local_results(part)[0][:PANEL_IMAGES]


def _what_to_do(workdir: pathlib.Path) -> str:
    """Returns what a broken run leaves in `workdir`, and how to go on."""
    steps = checkpoint_steps(workdir)
    left = f"the checkpoint of step {steps[-1]} is whole" if steps else "there is no checkpoint yet"
    place = "train in another --workdir" if steps else "begin again"
    return f"{left}. Look at that step's data, or {place} with a lower train.base_learning_rate"


def _mean_losses(
    pending: list[dict[str, tf.Tensor]], step: int, workdir: pathlib.Path
) -> dict[str, float]:
    """Returns the mean of each loss over the steps since the last log; the last step is `step`.

    With a loss scale, `loss_scale` is its last value and `skipped` the number of skipped steps. The
    loss of a skipped step is left out where it is not finite; a loss is NaN where no step is left.

    Raises:
        DeeplabError: a loss is not finite at a step that was not skipped, and the message names the
            first such step; or the loss scale is too small to go on.
    """
    series = {name: np.array([float(losses[name]) for losses in pending]) for name in pending[0]}
    finite = np.isfinite(series["loss"])
    skipped = series.pop("skipped", np.zeros(len(pending)))
    for index in np.flatnonzero(~finite & (skipped == 0))[:1]:
        raise DeeplabError(
            f"loss is {series['loss'][index]} at step {step - len(pending) + 1 + index}; "
            f"{_what_to_do(workdir)}"
        )
    scales = series.pop("loss_scale", None)
    means = {
        name: float(values[finite].mean()) if finite.any() else math.nan
        for name, values in series.items()
    }
    if scales is None:
        return means
    if scales[-1] < SMALLEST_SCALE:
        raise DeeplabError(
            f"the loss scale fell to {scales[-1]} by step {step}: gradients overflow in float16 "
            f"without it; {_what_to_do(workdir)}, or train.precision=mixed_bfloat16"
        )
    return {**means, "loss_scale": float(scales[-1]), "skipped": float(skipped.sum())}


def _with_absolute_paths(experiment: Experiment) -> Experiment:
    """Returns `experiment` with absolute paths.

    `config.json` then means the same files wherever it is used.
    """
    init_from, weights = experiment.init_from, experiment.train.class_weights
    if init_from is not None and not is_a_name(init_from):
        init_from = os.path.abspath(init_from)
    if weights is not None and weights not in ("none", "auto"):
        weights = os.path.abspath(weights)
    changed = dataclasses.replace(experiment.train, class_weights=weights)
    return dataclasses.replace(experiment, init_from=init_from, train=changed)
