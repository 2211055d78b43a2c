"""Trainings in a row: each starts from the one before, and what is done is not done again."""

import dataclasses

import numpy as np
import pytest

from deeplab_tf.config import load_experiment, validate
from deeplab_tf.errors import DeeplabError
from deeplab_tf.trained_model import load_model, save_model
from deeplab_tf.training.stages import train_stages
from deeplab_tf.workdir import read_config

ROWS = """
import dataclasses
from deeplab_tf.config import BatchNormMode, DataConfig, TrainConfig, load_experiment

DEMO = dataclasses.replace(
    load_experiment("configs/shapes.py:demo"),
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
    "circle": dataclasses.replace(DEMO, previous_stage=FILE + ":circle"),
}}
"""


@pytest.fixture
def rows(tmp_path):
    """A config file of rows that come after each other."""
    path = tmp_path / "chain.py"
    path.write_text(ROWS.format(file=str(path)))
    return path


def test_three_stages_by_one_call(rows, shapes_data, tmp_path, capsys):
    workdir = tmp_path / "run"
    assert train_stages(load_experiment(f"{rows}:third"), shapes_data, workdir) == 0
    second, first = workdir / "previous_stage", workdir / "previous_stage" / "previous_stage"
    assert [read_config(folder).train.steps for folder in (first, second, workdir)] == [2, 3, 1]
    said = capsys.readouterr().out
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


def test_a_finished_stage_is_taken_as_it_is(rows, shapes_data, tmp_path, capsys):
    workdir = tmp_path / "run"
    experiment = load_experiment(f"{rows}:first")
    other = dataclasses.replace(experiment, train=dataclasses.replace(experiment.train, seed=7))
    train_stages(validate(other), shapes_data, workdir / "previous_stage")
    assert train_stages(load_experiment(f"{rows}:second"), shapes_data, workdir) == 0
    assert f"done already: {workdir}/previous_stage/model.keras" in capsys.readouterr().out
    assert read_config(workdir / "previous_stage").train.seed == 7


def test_initial_weights_are_the_first_stages(rows, shapes_data, tmp_path, capsys):
    train_stages(load_experiment(f"{rows}:first"), shapes_data, tmp_path / "given")
    trained = load_model(tmp_path / "given")
    save_model(trained, tmp_path / "given.keras")
    capsys.readouterr()
    experiment = dataclasses.replace(
        load_experiment(f"{rows}:second"), init_from=str(tmp_path / "given.keras")
    )
    train_stages(experiment, shapes_data, tmp_path / "run")
    said = capsys.readouterr().out
    first, second = said.split("stage 2 of 2")
    assert f"initial weights from {tmp_path}/given.keras" in first
    assert f"initial weights from {tmp_path}/run/previous_stage/model.keras" in second


def test_the_data_of_the_last_stage_is_looked_for_first(rows, shapes_data, tmp_path):
    with pytest.raises(DeeplabError, match="no data set 'absent'"):
        train_stages(load_experiment(f"{rows}:no_data"), shapes_data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_circle_is_refused(rows, shapes_data, tmp_path):
    with pytest.raises(DeeplabError, match="goes in a circle: .*:circle comes twice"):
        train_stages(load_experiment(f"{rows}:circle"), shapes_data, tmp_path / "run")
