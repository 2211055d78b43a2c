"""DeepLabv3+: the map that the decoder reads, its layers, its numbers, and separable ones."""

import dataclasses

import keras
import numpy as np
import pytest
from support.random_model import random_picture, random_trained_model

from deeplab_tf.config import Backbone, Experiment, ModelConfig, StridePlacement, validate
from deeplab_tf.models import build_model, with_output_stride

TINY = ModelConfig(
    backbone=Backbone.RESNET_TINY, multi_grid=(1,), num_classes=5, decoder_kernels=(3, 3)
)
FIRST = StridePlacement.FIRST_UNIT


def read_by_decoder(model):
    """The layer that gives the low-level map."""
    return model.get_layer("decoder_project").input._keras_history.operation.name


@pytest.mark.parametrize(
    ("fields", "layer", "channels"),
    [
        ({"backbone": Backbone.RESNET50, "multi_grid": (1, 2, 4)}, "block1_unit2_relu", 256),
        ({}, "pool1", 8),
        ({"stride_placement": FIRST}, "block1_unit1_relu", 32),
        (
            {"backbone": Backbone.MOBILENET_V2, "multi_grid": (1, 1, 1), "aspp_rates": ()},
            *("block2_unit2_add", 24),
        ),
        (
            {"backbone": Backbone.MOBILENET_V3_LARGE, "multi_grid": (1, 1, 1), "aspp_rates": ()},
            *("block2_unit2_add", 24),
        ),
    ],
)
def test_the_last_map_of_stride_4_before_striding_is_read(fields, layer, channels):
    for output_stride in (4, 16) if layer == "pool1" else (16,):
        model_config = dataclasses.replace(TINY, output_stride=output_stride, **fields)
        model = build_model(validate(Experiment(model=model_config)).model)
        assert read_by_decoder(model) == layer
        assert model.get_layer("decoder_project").kernel.shape == (1, 1, channels, 48)
        shapes = keras.Function(model.inputs, [model.get_layer(layer).output]).compute_output_spec(
            [keras.KerasTensor((1, 65, 50, 3))]
        )
        assert shapes[0].shape == (1, 17, 13, channels)


def test_as_many_weights_as_by_hand():
    plain = build_model(dataclasses.replace(TINY, decoder_kernels=()))
    filters, low = 32, 8
    by_hand = {
        (3, 3): low * 48 + 4 * 48 + 9 * ((filters + 48) * filters + filters**2) + 2 * 4 * filters,
        (1,): low * 48 + 4 * 48 + (filters + 48) * filters + 4 * filters,
    }
    for kernels, expected in by_hand.items():
        model = build_model(dataclasses.replace(TINY, decoder_kernels=kernels))
        assert model.count_params() - plain.count_params() == expected
    without = build_model(dataclasses.replace(TINY, decoder_kernels=(1,), decoder_channels=0))
    assert without.count_params() - plain.count_params() == filters**2 + 4 * filters


@pytest.fixture(scope="module")
def trained():
    return random_trained_model(
        backbone=Backbone.RESNET_TINY, multi_grid=(1,), decoder_kernels=(3, 3)
    )


def on_the_grid(x, ratio, size):
    """Map [h, w, C] -> [*size, C]: sample i lies on sample i * ratio; the border is repeated."""
    for axis, target in enumerate(size):
        at = np.minimum(np.arange(target) / ratio, x.shape[axis] - 1)
        weights = np.maximum(1 - np.abs(at[:, None] - np.arange(x.shape[axis])), 0)
        x = np.moveaxis(np.tensordot(weights, np.moveaxis(x, axis, 0), 1), 0, axis)
    return x


@pytest.mark.parametrize("size", [(65, 65), (50, 71), (3, 40)])
def test_the_decoder_is_the_one_of_the_paper_in_numpy(trained, size):
    model = trained.model
    names = ["aspp_project_relu", read_by_decoder(model), "logits"]
    inside = keras.Model(
        model.input, [*(model.get_layer(name).output for name in names), model.output]
    )
    *maps, output = (np.float64(x[0]) for x in inside(random_picture(*size)[None]))
    x, low, logits = maps

    def block(x, name):
        kernel = np.float64(model.get_layer(name).kernel)
        side = kernel.shape[0]
        padded = np.pad(x, [(side // 2, side // 2)] * 2 + [(0, 0)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(0, 1))
        y = np.einsum("hwcij,ijcf->hwf", windows, kernel)
        norm = model.get_layer(f"{name}_bn")
        gamma, beta, mean, variance = (np.float64(w) for w in norm.get_weights())
        return np.maximum((y - mean) * gamma / np.sqrt(variance + norm.epsilon) + beta, 0)

    x = np.concatenate([on_the_grid(x, 4, low.shape[:2]), block(low, "decoder_project")], axis=-1)
    x = block(block(x, "decoder_conv1"), "decoder_conv2")
    kernel, bias = (np.float64(w) for w in model.get_layer("logits").get_weights())
    expected = x @ kernel[0, 0] + bias
    assert expected.std() > 1e-3
    np.testing.assert_allclose(logits, expected, atol=1e-5 * np.abs(expected).max())
    # The logits of the map of stride 4 lie on every fourth pixel.
    np.testing.assert_allclose(output[::4, ::4], expected, atol=1e-5 * np.abs(expected).max())


def test_weights_do_not_depend_on_the_output_stride(trained):
    model_config = trained.experiment.model
    image = random_picture(64, 65)[None]
    for output_stride in (32, 8, 4):
        other = with_output_stride(trained.model, model_config, output_stride)
        assert [v.path for v in other.weights] == [v.path for v in trained.model.weights]
        logits = other.get_layer("logits")
        assert keras.Model(other.input, logits.output)(image).shape == (1, 16, 17, 6)
        assert other(image).shape == (1, 64, 65, 6)


def test_separable_convolutions_have_the_rate_in_the_depthwise_part():
    model_config = dataclasses.replace(TINY, separable=True, head_conv=True, output_stride=8)
    model = build_model(model_config)
    rates = [model.get_layer(f"aspp_atrous{n}_depthwise").dilation_rate for n in (1, 2, 3)]
    assert rates == [(12, 12), (24, 24), (36, 36)]
    order = [layer.name for layer in model.layers if layer.name.startswith("decoder_conv1")]
    assert order == [
        *("decoder_conv1_depthwise", "decoder_conv1_depthwise_bn", "decoder_conv1_depthwise_relu"),
        *("decoder_conv1_pointwise", "decoder_conv1_pointwise_bn", "decoder_conv1_pointwise_relu"),
    ]
    head = [v for v in model.weights if v.path.startswith(("aspp", "head_conv", "decoder"))]
    # No 3x3 kernel mixes channels.
    assert {v.shape[0] for v in head if len(v.shape) == 4 and v.shape[3] > 1} == {1}
    assert {v.path.split("/")[0] for v in head if len(v.shape) == 4 and v.shape[0] == 3} == {
        *(f"aspp_atrous{n}_depthwise" for n in (1, 2, 3)),
        *("head_conv_depthwise", "decoder_conv1_depthwise", "decoder_conv2_depthwise"),
    }
    assert model(random_picture(33, 40)[None]).shape == (1, 33, 40, 5)
