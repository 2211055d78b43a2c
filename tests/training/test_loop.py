"""The whole training, on a few drawn shapes: learning, resuming, stopping, refusing."""

import dataclasses
import json
import signal
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.train_processes import metrics, small, start, wait_for_step

from deeplab_tf.artefacts.trained_model import load_model
from deeplab_tf.config import Head, load_experiment
from deeplab_tf.data.records import open_records
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import SHAPES
from deeplab_tf.runs.checkpoints import checkpoint_steps
from deeplab_tf.training.stages import train


@pytest.fixture(scope="module")
def undisturbed(shapes_data, tmp_path_factory):
    """A run from beginning to end in a process of its own."""
    workdir = tmp_path_factory.mktemp("undisturbed") / "run"
    process = start(shapes_data, workdir)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    return workdir, out


def test_a_run_leaves_everything_it_promises(undisturbed, shapes_data):
    workdir, out = undisturbed
    assert [m["step"] for m in metrics(workdir)] == [2, 4, 6, 8, 10, 12]
    assert metrics(workdir)[-1]["learning_rate"] == pytest.approx(
        small().train.base_learning_rate * (1 / 12) ** 0.9, rel=1e-4
    )
    assert "step 12/12  loss " in out and "images/s" in out and out.endswith("model.keras\n")
    experiment = load_experiment(str(workdir / "config.json"))
    assert experiment.model.num_classes == 6
    assert experiment.data.longest_side == open_records(shapes_data, "shapes").longest_side > 0
    assert sorted(p.name for p in (workdir / "checkpoints").glob("*.index")) == [
        "step-12.index",
        "step-4.index",
        "step-8.index",
    ]
    assert list((workdir / "tensorboard").iterdir())
    assert not list(workdir.glob(".writing*"))


def test_the_final_file_and_the_workdir_hold_the_same_weights(undisturbed):
    workdir, _ = undisturbed
    file, checkpoint = load_model(workdir / "model.keras"), load_model(workdir)
    assert file.experiment == checkpoint.experiment and file.classes == checkpoint.classes
    for a, b in zip(file.model.weights, checkpoint.model.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_killed_run_goes_on_bit_for_bit(undisturbed, shapes_data, tmp_path):
    workdir = tmp_path / "run"
    killed = start(shapes_data, workdir)
    wait_for_step(killed, workdir, 6)
    killed.kill()
    killed.communicate()
    resumed = start(shapes_data, workdir)
    out, err = resumed.communicate(timeout=180)
    assert resumed.returncode == 0, err
    assert "going on from step " in out
    expected, found = load_model(undisturbed[0]).model, load_model(workdir).model
    for a, b in zip(expected.weights, found.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)
    losses = [m["loss"] for m in metrics(undisturbed[0])]
    assert [m["loss"] for m in metrics(workdir)] == losses


def test_sigterm_saves_and_says_so(shapes_data, tmp_path):
    workdir = tmp_path / "run"
    process = start(shapes_data, workdir, steps=100_000, checkpoint_every=50_000)
    wait_for_step(process, workdir, 4)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143 and err == ""
    assert time.monotonic() - begun < 10
    assert out.endswith("stopped by SIGTERM; checkpoint saved; run the same command to go on\n")
    (saved,) = (workdir / "checkpoints").glob("*.index")
    assert saved.stem == f"step-{metrics(workdir)[-1]['step']}"
    assert not (workdir / "model.keras").exists()


def test_twelve_images_are_learnt(shapes_data, tmp_path):
    experiment = small(Head.ASPP, steps=80, log_every=20)
    experiment.data.crop_size = 97
    experiment.data.min_scale = experiment.data.max_scale = 1.0
    assert train(experiment, shapes_data, tmp_path).stopped_by is None
    losses = [m["cross_entropy"] for m in metrics(tmp_path)]
    # log(6) = 1.79 is knowing nothing; 1.3 is knowing how frequent the classes are.
    assert losses[0] < 1.8 and losses[-1] < 0.9


def test_a_loss_that_is_not_finite_stops_and_names_the_step(shapes_data, tmp_path):
    with pytest.raises(DeeplabError, match=r"loss is (nan|inf) at step 2; there is no checkpoint"):
        train(small(base_learning_rate=1e25, checkpoint_every=100), shapes_data, tmp_path)


def test_a_break_after_a_checkpoint_names_that_checkpoint(shapes_data, tmp_path, monkeypatch):
    monkeypatch.setattr("deeplab_tf.training.optimizer.make_schedule", lambda _: _RisingAfter(2))
    with pytest.raises(DeeplabError, match="; the checkpoint of step 2 is whole. Look .* another"):
        train(small(steps=8, checkpoint_every=2), shapes_data, tmp_path)


class _RisingAfter(keras.optimizers.schedules.LearningRateSchedule):
    """A small rate up to a step, and then one that breaks every network."""

    def __init__(self, step):
        self.step = step

    def __call__(self, step):
        return tf.where(tf.cast(step, tf.int64) < self.step, 1e-3, 1e25)


def test_a_broken_network_is_not_saved_before_its_loss_shows_it(shapes_data, tmp_path):
    with pytest.raises(DeeplabError, match="broken after step 1; there is no checkpoint yet"):
        train(small(base_learning_rate=1e25, checkpoint_every=1), shapes_data, tmp_path)
    assert checkpoint_steps(tmp_path) == []
    # Nothing holds the workdir to the rate that was wrong.
    assert train(small(steps=2), shapes_data, tmp_path).stopped_by is None


def test_initial_weights_that_cannot_be_read_leave_no_workdir(shapes_data, tmp_path):
    experiment = dataclasses.replace(small(), init_from=str(tmp_path / "nowhere.keras"))
    with pytest.raises(DeeplabError, match=r"nowhere.keras does not exist"):
        train(experiment, shapes_data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_finished_runs_do_nothing_more(undisturbed, shapes_data, capsys):
    workdir, _ = undisturbed
    before = metrics(workdir)
    assert train(small(), shapes_data, workdir).stopped_by is None
    assert metrics(workdir) == before
    assert "going on from step 12" in capsys.readouterr().out


def test_class_weights_are_reported_recorded_and_held_to(shapes_data, tmp_path, capsys):
    file, workdir = tmp_path / "weights.json", tmp_path / "run"
    weights = dict(zip(SHAPES.names, (0.25, 1, 2, 3, 4, 5), strict=True))
    file.write_text(json.dumps(weights))
    experiment = small(steps=2, class_weights=str(file))
    train(experiment, shapes_data, workdir)
    expected_line = (
        f"class weights ({file}): background 0.25, circle 1, square 2, triangle 3, star 4, ring 5"
    )
    assert expected_line in capsys.readouterr().out.splitlines()
    assert json.loads((workdir / "class_weights.json").read_text()) == weights
    (line,) = metrics(workdir)
    assert line["loss"] > line["data_loss"] != line["cross_entropy"] > 0
    file.write_text(json.dumps({**weights, "star": 40}))
    with pytest.raises(DeeplabError, match=r"class weights star 4 \(now 40\). Use another --workd"):
        train(experiment, shapes_data, workdir)
    with pytest.raises(DeeplabError, match="train.class_weights=.* \\(received none\\)"):
        train(small(steps=2), shapes_data, workdir)
    file.write_text(json.dumps(weights))
    assert train(experiment, shapes_data, workdir).stopped_by is None


def test_a_wrong_class_weights_file_leaves_no_workdir(shapes_data, tmp_path):
    with pytest.raises(DeeplabError, match="nowhere.json does not exist"):
        train(small(class_weights=str(tmp_path / "nowhere.json")), shapes_data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_another_number_of_classes_than_the_data_has(shapes_data, tmp_path):
    experiment = small()
    experiment.model.num_classes = 21
    with pytest.raises(DeeplabError, match="num_classes is 21, but shapes has 6"):
        train(experiment, shapes_data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_initial_weights_are_used_and_listed(undisturbed, shapes_data, tmp_path, capsys):
    experiment = dataclasses.replace(
        small(steps=1, base_learning_rate=1e-12),
        init_from=str(undisturbed[0] / "model.keras"),
    )
    train(experiment, shapes_data, tmp_path)
    out = capsys.readouterr().out
    assert "initial weights from" in out and "  skipped       0" in out
    expected, found = load_model(undisturbed[0]).model, load_model(tmp_path).model
    np.testing.assert_allclose(
        expected.get_layer("logits").kernel, found.get_layer("logits").kernel, atol=1e-9
    )
