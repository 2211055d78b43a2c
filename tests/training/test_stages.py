"""Trainings in a row: each starts from the one before, and what is done is not done again."""

import dataclasses
import shutil

import numpy as np
import pytest
from support.commands import run

from deeplab_tf.artefacts.trained_model import load_model, save_model
from deeplab_tf.config import load_experiment
from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import held_folder
from deeplab_tf.runs.workdir import read_experiment
from deeplab_tf.training.stages import train

ROWS = """
import dataclasses
from deeplab_tf.config import BatchNormMode, DataConfig, Head, TrainConfig, load_experiment

SMOKE = load_experiment("configs/shapes.py:smoke")
DEMO = dataclasses.replace(
    SMOKE,
    model=dataclasses.replace(SMOKE.model, head=Head.NONE),
    data=DataConfig(dataset="shapes", crop_size=33),
    train=TrainConfig(steps=2, batch_size=2, base_learning_rate=0.01),
)
FILE = {file!r}
EXPERIMENTS = {{
    "first": DEMO,
    "second": dataclasses.replace(
        DEMO,
        previous_stage=FILE + ":first",
        train=TrainConfig(steps=3, batch_size=2, base_learning_rate=0.001),
    ),
    "third": dataclasses.replace(
        DEMO,
        previous_stage=FILE + ":second",
        model=dataclasses.replace(DEMO.model, output_stride=16),
        train=TrainConfig(
            steps=1, batch_size=2, base_learning_rate=1e-9, batch_norm=BatchNormMode.FROZEN,
            weight_decay=0.0,
        ),
    ),
    "no_data": dataclasses.replace(
        DEMO, previous_stage=FILE + ":first", data=DataConfig(dataset="absent")
    ),
    "judged": dataclasses.replace(
        DEMO,
        train=TrainConfig(
            steps=2, batch_size=2, base_learning_rate=0.01, evaluate_every=1, evaluate_images=2,
            keep="best",
        ),
    ),
    "after_judged": dataclasses.replace(
        DEMO,
        previous_stage=FILE + ":judged",
        train=TrainConfig(
            steps=1, batch_size=2, base_learning_rate=1e-9, batch_norm=BatchNormMode.FROZEN,
            weight_decay=0.0,
        ),
    ),
    "circle": dataclasses.replace(DEMO, previous_stage=FILE + ":circle"),
}}
"""


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """A config file of rows that come after each other."""
    path = tmp_path_factory.mktemp("rows") / "chain.py"
    path.write_text(ROWS.format(file=str(path)))
    return path


@pytest.fixture(scope="module")
def chain(rows, shapes_data, tmp_path_factory):
    """The workdir of `third`, trained by one call, and what the call said; not to be changed."""
    workdir, said = tmp_path_factory.mktemp("chain") / "run", []
    result = train(load_experiment(f"{rows}:third"), shapes_data, workdir, report=said.append)
    assert result.stopped_by is None
    return workdir, "\n".join(said)


@pytest.fixture(scope="module")
def seeded(rows, shapes_data, tmp_path_factory):
    """The workdir of `second` by another seed."""
    workdir = tmp_path_factory.mktemp("seeded") / "run"
    train(with_seed(load_experiment(f"{rows}:second"), 7), shapes_data, workdir)
    return workdir


@pytest.fixture
def second(chain, tmp_path):
    """A workdir of `second` of this test's own, trained to its end."""
    return shutil.copytree(chain[0] / "previous_stage", tmp_path / "run")


def test_three_stages_by_one_call(rows, chain):
    workdir, said = chain
    second, first = workdir / "previous_stage", workdir / "previous_stage" / "previous_stage"
    assert [read_experiment(folder).train.steps for folder in (first, second, workdir)] == [2, 3, 1]
    for number, name in enumerate(("first", "second", "third"), start=1):
        assert f"stage {number} of 3: {rows}:{name} in" in said
    assert f"initial weights from {second}/model.keras" in said
    # The last stage hardly moves the weights, at another output_stride.
    before, after = load_model(second), load_model(workdir)
    assert (before.experiment.model.output_stride, after.experiment.model.output_stride) == (8, 16)
    for a, b in zip(before.model.get_weights(), after.model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    # The second one did move them.
    moved = [
        np.abs(a - b).max()
        for a, b in zip(
            load_model(first).model.get_weights(), before.model.get_weights(), strict=True
        )
    ]
    assert max(moved) > 1e-4


def test_a_stage_begins_with_the_best_weights_of_the_one_before(rows, shapes_data, tmp_path):
    workdir, lines = tmp_path / "run", []
    train(load_experiment(f"{rows}:after_judged"), shapes_data, workdir, report=lines.append)
    before = workdir / "previous_stage"
    best = load_model(before / "best.keras").model
    found = load_model(workdir).model
    for a, b in zip(best.get_weights(), found.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert len([line for line in lines if "mean IoU" in line and line.startswith("step")]) == 2
    # The file is known as that of the stage, and so it is where the last stage begins anew.
    shutil.rmtree(workdir / "checkpoints")

    def crash_at_the_first_step(line):
        if line.startswith("first batch"):
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train(
            load_experiment(f"{rows}:after_judged"),
            shapes_data,
            workdir,
            report=crash_at_the_first_step,
        )
    # A stage that was evaluated otherwise may have had others.
    written = rows.read_text()
    rows.write_text(written.replace("evaluate_every=1", "evaluate_every=2"))
    with pytest.raises(DeeplabError, match="Received: train.evaluate_every=1 instead of 2"):
        train(load_experiment(f"{rows}:after_judged"), shapes_data, workdir)
    rows.write_text(written)


def with_seed(experiment, seed):
    return dataclasses.replace(
        experiment, train=dataclasses.replace(experiment.train, seed=seed, log_every=1)
    )


def test_earlier_stages_have_the_seed_and_the_way_of_running(seeded):
    first = read_experiment(seeded / "previous_stage").train
    assert (first.seed, first.log_every, first.steps) == (7, 1, 2)


def test_a_stage_that_was_trained_elsewhere_is_taken(rows, chain, shapes_data, tmp_path, capsys):
    workdir = tmp_path / "run"
    (workdir / "previous_stage").mkdir(parents=True)
    elsewhere = chain[0] / "previous_stage" / "previous_stage"
    shutil.copy(elsewhere / "model.keras", workdir / "previous_stage")
    assert train(load_experiment(f"{rows}:second"), shapes_data, workdir).stopped_by is None
    said = capsys.readouterr().out
    assert "stage 1 of" not in said and "previous_stage/model.keras\n  loaded" in said


def test_a_stage_that_is_not_the_rows_is_refused(rows, seeded, shapes_data, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(seeded / "previous_stage", workdir / "previous_stage")
    with pytest.raises(
        DeeplabError,
        match=r":first. Received: train.seed=7 instead of 0",
    ):
        train(load_experiment(f"{rows}:second"), shapes_data, workdir)


def test_a_run_under_way_needs_no_earlier_stage(rows, second, shapes_data, capsys):
    shutil.rmtree(second / "previous_stage")
    assert train(load_experiment(f"{rows}:second"), shapes_data, second).stopped_by is None
    assert "going on from step 3" in capsys.readouterr().out
    assert not (second / "previous_stage").exists()


def test_a_workdir_of_another_run_is_refused_before_the_first_stage(rows, second, shapes_data):
    shutil.rmtree(second / "previous_stage")
    with pytest.raises(DeeplabError, match="holds a run with .*previous_stage"):
        train(load_experiment(f"{rows}:third"), shapes_data, second)
    assert not (second / "previous_stage").exists()


def test_two_processes_cannot_train_in_one_workdir(rows, shapes_data, tmp_path):
    experiment, workdir = load_experiment(f"{rows}:first"), tmp_path / "run"
    said = "is being trained in by another process; wait"
    with held_folder(workdir, "busy"), pytest.raises(DeeplabError, match=said):
        train(experiment, shapes_data, workdir)
    assert not (tmp_path / "run").exists()


def test_a_chain_on_two_devices(rows, shapes_data, tmp_path):
    """The run has a process of its own, as every test of a whole mirrored run."""
    program = """
import pathlib, sys
import conftest  # two virtual devices
from deeplab_tf.config import StrategyName, load_experiment
from deeplab_tf.training.stages import train
spec, data_dir, workdir = sys.argv[1:]
experiment = load_experiment(spec)
experiment.train.strategy = StrategyName.MIRRORED
train(experiment, pathlib.Path(data_dir), pathlib.Path(workdir))
"""
    arguments = (f"{rows}:second", shapes_data, tmp_path / "run")
    done = run("-c", program, *arguments, cwd="tests")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("2 device(s)") == 2


def test_initial_weights_are_the_first_stages(rows, chain, shapes_data, tmp_path, capsys):
    trained = load_model(chain[0] / "previous_stage" / "previous_stage")
    save_model(trained, tmp_path / "given.keras")
    experiment = dataclasses.replace(
        load_experiment(f"{rows}:second"), init_from=str(tmp_path / "given.keras")
    )
    train(experiment, shapes_data, tmp_path / "run")
    said = capsys.readouterr().out
    first, second = said.split("stage 2 of 2")
    assert f"initial weights from {tmp_path}/given.keras" in first
    assert f"initial weights from {tmp_path}/run/previous_stage/model.keras" in second


def test_the_data_of_the_last_stage_is_looked_for_first(rows, shapes_data, tmp_path):
    with pytest.raises(DeeplabError, match="no data set 'absent'"):
        train(load_experiment(f"{rows}:no_data"), shapes_data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_circle_is_refused(rows, shapes_data, tmp_path):
    with pytest.raises(DeeplabError, match="goes in a circle: .*:circle comes twice"):
        train(load_experiment(f"{rows}:circle"), shapes_data, tmp_path / "run")
