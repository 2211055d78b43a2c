"""LR-ASPP: its logits in numpy, the map that it reads besides the last, its stride."""

import keras
import numpy as np
import pytest
from support.random_model import random_picture, random_trained_model

from deeplab_tf.config import Backbone, Head, StridePlacement
from deeplab_tf.models import build_model, with_output_stride


@pytest.fixture(scope="module")
def trained():
    return random_trained_model(backbone=Backbone.RESNET_TINY, multi_grid=(1,), head=Head.LR_ASPP)


def read_by_low(model):
    return model.get_layer("logits_low").input._keras_history.operation.name


@pytest.mark.parametrize(
    ("fields", "layer"),
    [
        ({}, "block1_unit1_relu"),
        ({"stride_placement": StridePlacement.FIRST_UNIT}, "block2_unit1_relu"),
        (
            {"backbone": Backbone.MOBILENET_V3_LARGE, "multi_grid": (1, 1, 1)},
            "block3_unit1_project_bn",
        ),
    ],
)
def test_the_first_map_of_stride_8_is_read(trained, fields, layer):
    model_config = trained.experiment.model
    changed = type(model_config)(**{**vars(model_config), **fields})
    assert read_by_low(build_model(changed)) == layer


@pytest.mark.parametrize("size", [(65, 65), (50, 71)])
def test_the_logits_in_numpy(trained, size):
    model = trained.model
    names = ["block4_unit1_relu", read_by_low(model), "logits"]
    inside = keras.Model(
        model.input, [*(model.get_layer(name).output for name in names), model.output]
    )
    high, low, logits, output = (np.float64(x[0]) for x in inside(random_picture(*size)[None]))

    def weights(name):
        return [np.float64(w) for w in model.get_layer(name).get_weights()]

    (conv,), (gate,) = weights("lr_aspp_conv"), weights("lr_aspp_gate")
    gamma, beta, mean, variance = weights("lr_aspp_conv_bn")
    x = (high @ conv[0, 0] - mean) * gamma / np.sqrt(variance + 1e-5) + beta
    share = 1 / (1 + np.exp(-(high.mean(axis=(0, 1)) @ gate[0, 0])))
    assert 0.05 < share.min() < share.max() < 0.95 and np.ptp(share) > 0.1
    x = np.maximum(x, 0) * share
    # The sample i of the last map lies on sample 2 i of the other.
    for axis in (0, 1):
        at = np.minimum(np.arange(low.shape[axis]) / 2, x.shape[axis] - 1)
        linear = np.maximum(1 - np.abs(at[:, None] - np.arange(x.shape[axis])), 0)
        x = np.moveaxis(np.tensordot(linear, np.moveaxis(x, axis, 0), 1), 0, axis)
    (of_low, low_bias), (of_high, high_bias) = weights("logits_low"), weights("logits_high")
    expected = low @ of_low[0, 0] + low_bias + x @ of_high[0, 0] + high_bias
    assert expected.std() > 1e-3 and (x @ of_high[0, 0]).std() > 1e-3
    np.testing.assert_allclose(logits, expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(output[::8, ::8], expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("output_stride", "side"), [(32, 9), (8, 9), (4, 17)])
def test_weights_do_not_depend_on_the_output_stride(trained, output_stride, side):
    other = with_output_stride(trained.model, trained.experiment.model, output_stride)
    assert [v.path for v in other.weights] == [v.path for v in trained.model.weights]
    image = random_picture(65, 65)[None]
    assert keras.Model(other.input, other.get_layer("logits").output)(image).shape[1] == side
    assert other(image).shape == (1, 65, 65, 6)
