"""Checkpoints: rotation, exact return, and what a workdir refuses."""

import dataclasses

import numpy as np
import pytest

from deeplab_tf.config import Backbone, Experiment, ModelConfig, TrainConfig, validate
from deeplab_tf.data.labels import CAMVID, SHAPES
from deeplab_tf.errors import DeeplabError
from deeplab_tf.models import build_model
from deeplab_tf.trained_model import load_model
from deeplab_tf.training.checkpoint import Checkpoints, claim_workdir
from deeplab_tf.training.step import make_optimizer

EXPERIMENT = validate(
    Experiment(
        model=ModelConfig(backbone=Backbone.RESNET_SLIM, num_classes=6, multi_grid=(1, 1, 1))
    )
)


def make(workdir, experiment=EXPERIMENT, keep=2):
    model = build_model(experiment.model)
    optimizer = make_optimizer(experiment.train)
    optimizer.build(model.trainable_variables)
    return model, optimizer, Checkpoints(workdir, model, optimizer, keep)


def test_rotation_and_exact_return(tmp_path):
    model, optimizer, checkpoints = make(tmp_path)
    for step in (10, 20, 30):
        optimizer.iterations.assign(step)
        model.get_layer("logits").kernel.assign_add(np.ones_like(model.get_layer("logits").kernel))
        optimizer.momentums[0].assign_add(np.ones_like(optimizer.momentums[0]))
        checkpoints.save()
    kept = sorted(path.name for path in (tmp_path / "checkpoints").glob("*.index"))
    assert kept == ["step-20.index", "step-30.index"]

    other, other_optimizer, other_checkpoints = make(tmp_path)
    assert other_checkpoints.restore() == 30
    for a, b in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(optimizer.momentums[0], other_optimizer.momentums[0])


def test_an_empty_workdir_begins_at_step_0(tmp_path):
    assert make(tmp_path)[2].restore() == 0


def test_another_architecture_is_refused_in_one_line(tmp_path):
    _, _, checkpoints = make(tmp_path)
    checkpoints.save()
    wider = dataclasses.replace(EXPERIMENT.model, num_classes=7)
    with pytest.raises(DeeplabError, match="does not fit the model") as error:
        make(tmp_path, dataclasses.replace(EXPERIMENT, model=wider))[2].restore()
    assert "\n" not in str(error.value)


def test_a_truncated_checkpoint_is_refused_by_name(tmp_path):
    _, _, checkpoints = make(tmp_path)
    data = next((tmp_path / "checkpoints").glob("*.data-*"), None)
    assert data is None
    checkpoints.save()
    data = next((tmp_path / "checkpoints").glob("*.data-*"))
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(DeeplabError, match="step-0 does not fit .* or is damaged"):
        make(tmp_path)[2].restore()


def test_claim_writes_config_and_classes_that_load_again(tmp_path):
    claim_workdir(tmp_path / "run", EXPERIMENT, SHAPES)
    _, _, checkpoints = make(tmp_path / "run")
    checkpoints.save()
    trained = load_model(tmp_path / "run")
    assert trained.experiment == EXPERIMENT
    assert trained.labels == SHAPES


def test_claim_names_what_differs(tmp_path):
    claim_workdir(tmp_path, EXPERIMENT, SHAPES)
    other = dataclasses.replace(EXPERIMENT, train=TrainConfig(batch_size=8))
    with pytest.raises(DeeplabError, match=r"train.batch_size=16 \(received 8\)"):
        claim_workdir(tmp_path, other, SHAPES)
    with pytest.raises(DeeplabError, match="other classes"):
        claim_workdir(tmp_path, EXPERIMENT, CAMVID)


def test_claim_lets_go_on_with_another_pace_of_logging(tmp_path):
    claim_workdir(tmp_path, EXPERIMENT, SHAPES)
    paced = dataclasses.replace(EXPERIMENT, train=TrainConfig(log_every=1, checkpoint_every=7))
    claim_workdir(tmp_path, paced, SHAPES)
