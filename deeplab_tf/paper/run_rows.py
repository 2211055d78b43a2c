"""Trains and evaluates rows of a config file, each in a folder of its own, one after the other."""

import dataclasses
import pathlib
import subprocess
import sys
from collections.abc import Sequence

from deeplab_tf.config import Experiment, load_experiment, load_rows
from deeplab_tf.errors import DeeplabError
from deeplab_tf.paper.results import same_evaluation, trained_row
from deeplab_tf.workdir import EVAL_FILE, MODEL_FILE


@dataclasses.dataclass(frozen=True)
class Job:
    """One row with one seed: the `workdir` of its training, and where its evaluation goes."""

    row: Experiment
    seed: int
    workdir: pathlib.Path
    out: pathlib.Path


def plan_jobs(config: str, runs: pathlib.Path, seeds: Sequence[int]) -> list[Job]:
    """The jobs of `config`: a row (`FILE.py:ROW`) or all rows of a file (`FILE.py`).

    A row that evaluates another's checkpoint shares that one's workdir, and its evaluation where
    that is the same, so that everything is done once.
    """
    rows = [load_experiment(config)] if ":" in config else list(load_rows(config).values())
    return [_job(row, seed, runs) for seed in seeds for row in rows]


def _job(row: Experiment, seed: int, runs: pathlib.Path) -> Job:
    workdir = _folder(runs, trained_row(row), seed)
    # The same evaluation of the same checkpoint is in its workdir already.
    return Job(row, seed, workdir, workdir if same_evaluation(row) else _folder(runs, row, seed))


def _folder(runs: pathlib.Path, row: Experiment, seed: int) -> pathlib.Path:
    """RUNS/FILE_ROW_seedN."""
    file, name = str(row.row).rsplit(":", 1)
    return runs / f"{pathlib.Path(file).stem}_{name}_seed{seed}"


def run_jobs(jobs: Sequence[Job], data_dir: pathlib.Path, init_from: str | None) -> None:
    """Does what is not done yet of `jobs`: what was stopped goes on, what is there is kept.

    Each training and evaluation is a process of its own: its memory is gone when it ends, and
    several distribution strategies in one process disturb each other.

    Raises:
        DeeplabError: a training or evaluation failed; it has said why on stderr.
    """
    for number, job in enumerate(jobs, start=1):
        print(f"{number} of {len(jobs)}: {job.row.row}, seed {job.seed}", flush=True)
        if not (job.workdir / MODEL_FILE).is_file():
            initial = [f"--config.init_from={init_from}"] if init_from else []
            _run(
                "train",
                f"--config={trained_row(job.row).row}",
                f"--config.train.seed={job.seed}",
                f"--data_dir={data_dir}",
                f"--workdir={job.workdir}",
                *initial,
            )
        if job.row.evaluate.split == "test":
            print("the test set has no masks: send its server deeplab-predict's --submission")
        elif not (job.out / EVAL_FILE).is_file():
            _run(
                "eval",
                f"--workdir={job.workdir}",
                f"--config={job.row.row}",
                f"--data_dir={data_dir}",
                f"--out={job.out}",
            )


def _run(binary: str, *arguments: str) -> None:
    code = subprocess.run(
        [sys.executable, "-m", f"deeplab_tf.cli.{binary}", *arguments], check=False
    ).returncode
    if code:
        raise DeeplabError(
            f"deeplab-{binary} {' '.join(arguments)} ended with exit code {code}; run the same "
            "command to go on"
        )
