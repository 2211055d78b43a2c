"""The auxiliary head: the map it reads, its layers, and the network that stays as it is."""

import dataclasses

import keras
import numpy as np
import pytest

from deeplab_tf.config import Backbone, ModelConfig, StridePlacement, Upsampling
from deeplab_tf.models import build_model
from deeplab_tf.models.auxiliary import (
    auxiliary_input,
    auxiliary_weights,
    only_auxiliary,
    with_auxiliary,
    without_auxiliary,
)
from deeplab_tf.models.folding import folded
from deeplab_tf.models.parts import HEAD, backbone_parts, part_of, rate_multipliers

TINY = ModelConfig(backbone=Backbone.RESNET_TINY, multi_grid=(1,), num_classes=3)
MOBILE = ModelConfig(
    backbone=Backbone.MOBILENET_V2, width_multiplier=0.25, multi_grid=(1, 1, 1), num_classes=3
)


def image(side=65):
    return np.random.default_rng(0).integers(0, 256, (1, side, side, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("model_config", "layer", "stride", "channels"),
    [
        (TINY, "block3_unit1_relu", 16, 128),
        (dataclasses.replace(TINY, output_stride=8), "block3_unit1_relu", 8, 128),
        # The paper strides at the end of block3, torchvision at the start of block4.
        (dataclasses.replace(TINY, output_stride=32), "block3_unit1_relu", 32, 128),
        (
            dataclasses.replace(
                TINY, output_stride=32, stride_placement=StridePlacement.FIRST_UNIT
            ),
            "block3_unit1_relu",
            16,
            128,
        ),
        (dataclasses.replace(TINY, num_blocks=7, output_stride=16), "block3_unit1_relu", 16, 128),
        (MOBILE, "block5_unit3_add", 16, 24),
        (dataclasses.replace(MOBILE, output_stride=32), "block5_unit3_add", 16, 24),
    ],
    ids=str,
)
def test_the_head_reads_the_last_map_before_the_last_stride(model_config, layer, stride, channels):
    model = build_model(model_config)
    network = with_auxiliary(model, model_config)
    read = auxiliary_input(network)
    assert read is model.get_layer(layer).output and read.shape[-1] == channels
    assert network.get_layer("auxiliary_upsample").ratio == stride
    kernel = network.get_layer("auxiliary_conv").kernel
    assert kernel.shape == (3, 3, channels, channels // 4)
    assert network.get_layer("auxiliary_logits").kernel.shape == (1, 1, channels // 4, 3)


@pytest.fixture(scope="module")
def both():
    keras.utils.set_random_seed(0)
    model = build_model(TINY)
    return model, with_auxiliary(model, TINY)


def test_the_heads_logits_in_numpy(both):
    """A 3x3 convolution, batch norm, ReLU and a 1x1 convolution of the map, and its upsampling."""
    model, network = both
    features = keras.Function(model.inputs, [auxiliary_input(network)])([image()])[0].numpy()[0]
    rng = np.random.default_rng(1)
    weights = {w.path: rng.uniform(0.5, 1.5, w.shape) for w in auxiliary_weights(network)}
    weights["auxiliary_conv/kernel"] = rng.normal(0, 0.1, weights["auxiliary_conv/kernel"].shape)
    for variable in auxiliary_weights(network):
        variable.assign(weights[variable.path])
    padded = np.pad(features.astype(np.float64), ((1, 1), (1, 1), (0, 0)))
    rows, columns = features.shape[:2]
    x = sum(
        padded[i : i + rows, j : j + columns] @ weights["auxiliary_conv/kernel"][i, j]
        for i in range(3)
        for j in range(3)
    )
    gamma, beta, mean, variance = (
        weights[f"auxiliary_conv_bn/{name}"]
        for name in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    x = np.maximum(0, (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta)
    x = x @ weights["auxiliary_logits/kernel"][0, 0] + weights["auxiliary_logits/bias"]
    found = only_auxiliary(network)(image()).numpy()[0]
    assert found.shape == (65, 65, 3)
    # Sample i of the map lies on pixel 16 i.
    bound = 1e-5 * np.abs(x).max()
    assert np.abs(found[::16, ::16] - x).max() < bound
    assert np.abs(found[8::16, ::16] - (x[:-1] + x[1:]) / 2).max() < bound
    assert np.abs(found[8:-8:16] - found[::16][:-1]).max() > 100 * bound


def test_the_network_itself_stays_as_it_is(both, tmp_path):
    model, network = both
    keras.utils.set_random_seed(0)
    alone = build_model(TINY)
    assert [w.path for w in model.weights] == [w.path for w in alone.weights]
    expected = alone(image()).numpy()
    for a, b in zip(alone.weights, model.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    logits, of_head = network(image())
    assert logits.shape == of_head.shape
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    for each in (logits, model(image()), without_auxiliary(network)(image()), loaded(image())):
        np.testing.assert_array_equal(each, expected)
    assert len(loaded.layers) == len(model.layers) == len(network.layers) - 6
    difference = np.abs(folded(model)(image()) - expected).max()
    assert difference < 1e-5 * np.abs(expected).max()
    assert without_auxiliary(model) is model
    assert auxiliary_input(model) is None and auxiliary_weights(model) == []


def test_dropout_drops_a_tenth(both):
    _, network = both
    layer = network.get_layer("auxiliary_dropout")
    zeros = np.mean(layer(np.ones((1, 100, 100, 4), np.float32), training=True) == 0)
    assert layer.rate == 0.1 and abs(zeros - 0.1) < 4 * (0.1 * 0.9 / 40_000) ** 0.5


def test_half_pixel_upsampling_is_that_of_the_config():
    model_config = dataclasses.replace(TINY, upsampling=Upsampling.HALF_PIXEL)
    network = with_auxiliary(build_model(model_config), model_config)
    assert network.get_layer("auxiliary_upsample").upsampling is Upsampling.HALF_PIXEL


def test_the_head_has_the_rate_of_the_head_and_parts_fall_from_there(both):
    _, network = both
    parts = ["conv1", "block1", "block2", "block3", "block4"]
    assert backbone_parts(network) == parts
    factors = rate_multipliers(network, 0.5, 3.0, 0.7)
    names = [variable.path.split("/")[0] for variable in network.trainable_variables]
    found = dict(zip(names, factors, strict=True))
    for depth, part in enumerate(reversed(parts), start=1):
        rates = {found[name] for name in found if part_of(name) == part}
        assert rates == {0.5 * 0.7**depth}, part
    heads = {name for name in found if part_of(name) == HEAD}
    assert {found[name] for name in heads} == {3.0} and "auxiliary_conv" in heads
