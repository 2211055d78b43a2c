"""Batch norms of one, two and three samples: which keep their statistics, and what is said."""

import dataclasses

import numpy as np
import pytest
from support.train_processes import small

from deeplab_tf.artefacts.trained_model import load_model
from deeplab_tf.config import Head
from deeplab_tf.models import FusedBatchNormalization, build_model
from deeplab_tf.models.conv import set_batch_norm_mode
from deeplab_tf.training import build
from deeplab_tf.training.few_samples import hold_single_samples
from deeplab_tf.training.stages import train


@pytest.fixture(scope="module")
def model():
    return build_model(dataclasses.replace(small(Head.ASPP).model, num_classes=6, output_stride=16))


def held(model):
    norms = [x for x in model.layers if isinstance(x, FusedBatchNormalization)]
    return [norm.name for norm in norms if norm.holds_statistics]


@pytest.mark.parametrize(
    ("fields", "replicas", "crop", "samples"),
    [
        ({"batch_size": 1}, 1, 33, 1),
        ({"batch_size": 4, "accumulate_steps": 4}, 1, 33, 1),
        ({"batch_size": 2, "batch_norm": "train"}, 2, 33, 1),
        ({"batch_size": 4, "batch_norm": "train", "accumulate_steps": 2}, 2, 33, 1),
        ({"batch_size": 2, "batch_norm": "sync"}, 2, 33, 2),
        ({"batch_size": 4, "accumulate_steps": 2}, 2, 33, 2),
        ({"batch_size": 3}, 1, 33, 3),
        ({"batch_size": 4}, 1, 33, None),
        ({"batch_size": 1, "batch_norm": "frozen"}, 1, 33, None),
        ({"batch_size": 1}, 1, 16, 1),
        ({"batch_size": 2}, 1, 16, 2),
    ],
    ids=str,
)
def test_a_norm_counts_the_images_of_a_part_over_devices(model, fields, replicas, crop, samples):
    experiment = small(Head.ASPP, **fields)
    experiment.data.crop_size = crop
    set_batch_norm_mode(model, experiment.train.batch_norm, replicas)
    notes = hold_single_samples(model, experiment, replicas)
    whole_map = crop <= 16  # one pixel from the stride 16 on
    if samples is None:
        assert notes == [] and held(model) == []
    elif samples == 1:
        assert ("aspp_pool_bn" in held(model)) and (len(held(model)) > 1) == whole_map
        assert "one sample a step" in notes[0] and "statistics stay" in notes[0]
    else:
        assert held(model) == [] and f": {samples} samples a step" in notes[0]
    assert all("\n" not in note for note in notes)
    if whole_map:
        assert "batch norms to aspp_project_bn" in notes[0]
    elif notes:
        assert "note: aspp_pool_bn: " in notes[0]


def test_both_sides_of_a_crop_that_is_not_square_count(model):
    experiment = small(Head.ASPP, batch_size=1)
    experiment.data.crop_size, experiment.data.crop_width = 16, 33
    set_batch_norm_mode(model, experiment.train.batch_norm, 1)
    notes = hold_single_samples(model, experiment, 1)
    # 16x33 pixels are a map of 1x3 at the stride 16, and one pixel after the pooling.
    assert held(model) == ["aspp_pool_bn"] and "3 samples a step" in notes[1]


WAYS = [
    {"batch_size": 1},
    {"batch_size": 2, "accumulate_steps": 2},
    {"batch_size": 2, "batch_norm": "train", "strategy": "mirrored"},
]


def one_image(way, shapes_data, workdir, lines):
    experiment = small(Head.ASPP, steps=6, checkpoint_every=6, panels_every=6, **way)
    train(experiment, shapes_data, workdir, report=lines.append)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_network_of_one_image_a_norm_is_evaluated_as_trained(way, shapes_data, tmp_path):
    """conftest.py compares the losses."""
    lines = []
    one_image(way, shapes_data, tmp_path, lines)
    assert sum("aspp_pool_bn: one sample a step" in line for line in lines) == 1
    norm = load_model(tmp_path).model.get_layer("aspp_pool_bn")
    np.testing.assert_array_equal(norm.moving_mean, 0)
    np.testing.assert_array_equal(norm.moving_variance, 1)
    assert np.ptp(norm.beta) > 0


def test_the_check_of_every_training_sees_a_variance_of_zero(shapes_data, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "hold_single_samples", lambda *_: [])
    with pytest.raises(AssertionError, match="\\["):
        one_image(WAYS[1], shapes_data, tmp_path, [])
