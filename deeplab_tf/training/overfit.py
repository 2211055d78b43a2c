"""A test of data, loss and rate together: whether a network can learn one batch by heart.

Tested in tests/training/test_first_batch.py.
"""

import dataclasses
import math
import os
import pathlib
from collections.abc import Callable

from deeplab_tf.config import Experiment
from deeplab_tf.config.gaps import known
from deeplab_tf.data.records import naming_corrupt_file
from deeplab_tf.errors import DeeplabError
from deeplab_tf.named import model_path
from deeplab_tf.training.build import build_training
from deeplab_tf.training.first_batch import describe_batch, describe_first_loss
from deeplab_tf.training.initial_weights import load_initial_weights
from deeplab_tf.training.like import resolve_like
from deeplab_tf.training.missing_statistics import fill_statistics
from deeplab_tf.training.resolve import resolve_run

MAX_STEPS = 500
LEARNT = 0.1
"""The cross entropy at which a batch is learnt, as a share of ln(classes), the loss of guessing."""
LOG_EVERY = 20


def overfit_one_batch(
    experiment: Experiment,
    data_dir: str | os.PathLike,
    workdir: str | os.PathLike,
    report: Callable[[str], None] = print,
) -> int:
    """Trains on the first batch again and again, at the base rate from the first step on.

    Nothing is written.

    Args:
        experiment: the training to test, whose first batch is used. The weights are those of
            `init_from`, or random, even where another stage comes before.
        data_dir: the folder of the records.
        workdir: the workdir of the training to come; the experiment must fit this workdir.
        report: gets each line that the user should see.

    Returns:
        The number of steps after which the batch was learnt.

    Raises:
        DeeplabError: the batch is not learnt after `MAX_STEPS` steps, or an error of `train`.
    """
    experiment = resolve_like(experiment, report=report)
    run = resolve_run(experiment, pathlib.Path(data_dir), pathlib.Path(workdir), evaluated=False)
    experiment, records = run.experiment, run.records
    # The schedule gets so many steps that it hardly falls over the steps taken here.
    steps = max(known(experiment.train.steps), 20 * MAX_STEPS)
    experiment = dataclasses.replace(
        experiment, train=dataclasses.replace(experiment.train, steps=steps, warmup_steps=0)
    )
    training = build_training(dataclasses.replace(run, experiment=experiment))
    for note in (*run.choices, *training.notes):
        report(note)
    if experiment.init_from:
        report(f"initial weights from {experiment.init_from}")
        file = model_path(experiment.init_from, report)
        load_initial_weights(training.network, str(file), experiment.model)
        fill_statistics(training, report)
    train_step = training.make_step()
    with naming_corrupt_file(*training.splits):
        batch = next(iter(training.batches(0)))
    report(describe_batch(*training.on_host(batch), records.classes))
    num_classes = records.classes.num_classes
    wanted = LEARNT * math.log(num_classes)
    loss = math.inf
    for step in range(1, MAX_STEPS + 1):
        losses = train_step(*batch)
        loss = float(losses["cross_entropy"])
        if step == 1:
            report(describe_first_loss(loss, num_classes, fresh=not experiment.init_from))
        if step % LOG_EVERY == 0:
            report(f"step {step:>3}/{MAX_STEPS}  cross entropy {loss:.4f}")
        if loss <= wanted:
            report(f"learnt: cross entropy {loss:.4f} after {step} steps on one batch")
            return step
        if not math.isfinite(loss) and not losses.get("skipped"):
            break
    raise DeeplabError(
        f"one batch was not learnt: cross entropy {loss:.2f} instead of {wanted:.2f} after "
        f"{step} steps; look at the masks (deeplab-prepare --check), and try another "
        "train.base_learning_rate"
    )
