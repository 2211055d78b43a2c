"""The training and evaluation of a config file's rows, one after the other, in a folder each."""

import contextlib
import dataclasses
import pathlib
import subprocess
import sys
from collections.abc import Callable, Sequence

from deeplab_tf.config import Experiment, load_experiment, load_rows, training_differences
from deeplab_tf.errors import DeeplabError
from deeplab_tf.machine.signals import handling_stops
from deeplab_tf.paper.results import deviations, read_result, strategy, trained_row
from deeplab_tf.runs.workdir import EVAL_FILE, MODEL_FILE, read_experiment


@dataclasses.dataclass(frozen=True)
class Job:
    """One row with one seed, its training's `workdir`, and the folder `out` of its evaluation."""

    experiment: Experiment
    seed: int
    workdir: pathlib.Path
    out: pathlib.Path


def plan_jobs(config: str, runs: pathlib.Path, seeds: Sequence[int]) -> list[Job]:
    """Returns the jobs of `config`: a row (`FILE.py:ROW`) or all rows of a file (`FILE.py`).

    A row that evaluates another row's checkpoint shares that row's workdir, and shares its
    evaluation where both evaluate alike, so that everything is done once.
    """
    rows = [load_experiment(config)] if ":" in config else list(load_rows(config).values())
    return [_job(experiment, seed, runs) for seed in seeds for experiment in rows]


def _job(experiment: Experiment, seed: int, runs: pathlib.Path) -> Job:
    trained = trained_row(experiment)
    workdir = _folder(runs, trained, seed)
    # An evaluation like the trained row's own is in the workdir already, so it is not repeated.
    same = strategy(experiment.evaluate, trained) == strategy(trained.evaluate, trained)
    same = same and experiment.evaluate.split == trained.evaluate.split
    return Job(experiment, seed, workdir, workdir if same else _folder(runs, experiment, seed))


def _folder(runs: pathlib.Path, experiment: Experiment, seed: int) -> pathlib.Path:
    """Returns the folder RUNS/FILE_ROW_seedN."""
    file, name = str(experiment.row).rsplit(":", 1)
    return runs / f"{pathlib.Path(file).stem}_{name}_seed{seed}"


def run_jobs(
    jobs: Sequence[Job],
    data_dir: pathlib.Path,
    init_from: str | None,
    report: Callable[[str], None] = print,
) -> None:
    """Runs what is not done yet of `jobs`: a stopped training goes on, and results are kept.

    Each training and evaluation is a process of its own, whose memory is free when it ends.

    Raises:
        DeeplabError: a workdir holds a training of another experiment.
        subprocess.CalledProcessError: a process failed, which has printed the reason; the jobs
            after it are not run.
    """
    for number, job in enumerate(jobs, start=1):
        report(f"{number} of {len(jobs)}: {job.experiment.row}, seed {job.seed}")
        if not _is_trained(job, init_from):
            _run(
                "train",
                f"--config={trained_row(job.experiment).row}",
                f"--config.train.seed={job.seed}",
                f"--data_dir={data_dir}",
                f"--workdir={job.workdir}",
                *([f"--config.init_from={init_from}"] if init_from else []),
            )
        evaluate, data = job.experiment.evaluate, job.experiment.data
        if evaluate.split == "test" and data.dataset[:3] == "voc":
            report("VOC's test set has no masks: send deeplab-predict's --submission to its server")
        elif not _is_evaluated(job):
            _run(
                "eval",
                f"--workdir={job.workdir}",
                f"--config={job.experiment.row}",
                f"--data_dir={data_dir}",
                f"--out={job.out}",
            )


def _is_trained(job: Job, init_from: str | None) -> bool:
    if not (job.workdir / MODEL_FILE).is_file():
        return False
    experiment = trained_row(job.experiment)
    wanted = dataclasses.replace(
        experiment, init_from=init_from, train=dataclasses.replace(experiment.train, seed=job.seed)
    )
    differences = training_differences(wanted, read_experiment(job.workdir))
    if differences:
        raise DeeplabError(
            f"{job.workdir} holds another training than {experiment.row}: "
            + "; ".join(f"{name}={found} (asked {asked})" for name, asked, found in differences)
            + ". Give another --runs"
        )
    return True


def _is_evaluated(job: Job) -> bool:
    """Returns whether the row's evaluation of the finished training is there."""
    if not (job.out / EVAL_FILE).is_file():
        return False
    result = read_result(job.out / EVAL_FILE)
    return deviations(job.experiment, result) is not None and not result.unfinished


def _run(binary: str, *arguments: str) -> None:
    """Runs one of our binaries, and passes SIGTERM and Ctrl-C on to it.

    Raises:
        subprocess.CalledProcessError: the binary failed. Where a signal ended it, the exit code is
            that of a shell, 128 plus the signal's number.
    """
    command = [sys.executable, "-m", f"deeplab_tf.cli.{binary}", *arguments]
    child = subprocess.Popen(command)

    def hand_on(number, _frame):
        # Windows gives Ctrl-C to the child by itself; send_signal takes no SIGINT there.
        with contextlib.suppress(ValueError):
            child.send_signal(number)

    with handling_stops(hand_on):
        code = child.wait()
    if code:
        # The code of a process that a signal ended is the signal's number, negated.
        raise subprocess.CalledProcessError(code if code > 0 else 128 - code, command)
