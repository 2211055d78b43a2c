"""MobileNetV3-Large: strides and rates, activations, squeeze-and-excitation, parts, and graphs."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.random_model import random_picture

from deeplab_tf.config import Backbone, Head, ModelConfig
from deeplab_tf.models import AtrousDepthwiseConv2D, build_backbone, with_output_stride
from deeplab_tf.models.conv import Runs, traced_for
from deeplab_tf.models.deeplab import build_model
from deeplab_tf.models.hard import HardSigmoid, HardSwish
from deeplab_tf.models.mobilenet_v3 import plan_units
from deeplab_tf.models.parts import backbone_parts, freeze_through
from deeplab_tf.models.squeeze_excitation import squeeze_excitation


def mobile(**fields):
    fields = {"num_classes": 5, "head": Head.LR_ASPP, **fields}
    return ModelConfig(backbone=Backbone.MOBILENET_V3_LARGE, multi_grid=(1, 1, 1), **fields)


# By the paper's Table 1: units 2, 4, 7 and 13 stride; at 16 the last does not, and so on.
RATES = {32: [1] * 15, 16: [1] * 13 + [2] * 2, 8: [1] * 7 + [2] * 6 + [4] * 2}
STRIDED = {32: [1, 3, 6, 12], 16: [1, 3, 6], 8: [1, 3], 4: [1]}


@pytest.mark.parametrize("output_stride", [4, 8, 16, 32])
def test_strides_and_rates(output_stride):
    units = plan_units(mobile(output_stride=output_stride))
    assert [i for i, unit in enumerate(units) if unit.stride == 2] == STRIDED[output_stride]
    if output_stride > 4:
        assert [unit.rate for unit in units] == RATES[output_stride]
    else:
        assert [unit.rate for unit in units] == [1] * 4 + [2] * 3 + [4] * 6 + [8] * 2
    assert [unit.name for unit in units if unit.leaves_stride_4] == ["block3_unit1"]
    assert [unit.name for unit in units if unit.adds] == [
        *("block1_unit1", "block2_unit2", "block3_unit2", "block3_unit3", "block4_unit2"),
        *("block4_unit3", "block4_unit4", "block5_unit2", "block6_unit2", "block6_unit3"),
    ]


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    model = build_model(mobile(output_stride=32, width_multiplier=0.25))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.endswith("_excite"):
            # The mean of a map depends on its stride; a gate of its bias alone does not.
            layer.set_weights([layer.kernel * 0, rng.uniform(-2, 2, layer.bias.shape)])
    return model


def test_weights_do_not_depend_on_the_output_stride_and_maps_are_subsampled(model):
    model_config = mobile(output_stride=32, width_multiplier=0.25)
    image = random_picture(65, 97)[None]

    def last_map(network):
        name = "block7_unit1_expand_hard_swish"
        return keras.Model(network.input, network.get_layer(name).output)(image).numpy()

    coarse = last_map(model)
    assert coarse.shape == (1, 3, 4, 240) and coarse.std() > 1e-3
    for output_stride in (16, 8, 4):
        dense = with_output_stride(model, model_config, output_stride)
        assert [v.path for v in dense.weights] == [v.path for v in model.weights]
        ratio = 32 // output_stride
        atol = 1e-5 * np.abs(coarse).max()
        np.testing.assert_allclose(last_map(dense)[:, ::ratio, ::ratio], coarse, atol=atol)


def test_widths():
    """Read off torchvision's mobilenet_v3_large(width_mult=0.5)."""
    units = plan_units(mobile(width_multiplier=0.5))
    assert [unit.channels for unit in units][::3] == [8, 24, 40, 40, 80]
    assert [unit.expanded for unit in units][:4] == [8, 32, 40, 40]
    assert [unit.squeezed for unit in units if unit.squeezed] == [
        *(16, 16, 16, 64, 88, 88, 120, 120),
    ]
    backbone = build_backbone(mobile(width_multiplier=0.5))
    assert backbone.output_shape[-1] == 480
    names = {layer.name for layer in backbone.layers}
    assert "block1_unit1_expand" not in names and "block2_unit1_expand" in names


def test_hard_activations():
    x = np.float32([-4, -3, -1.5, 0, 1, 3, 5])
    gate = np.clip(np.float64(x) / 6 + 0.5, 0, 1)
    np.testing.assert_allclose(HardSigmoid()(x), gate, atol=1e-6)
    np.testing.assert_allclose(HardSwish()(x), x * gate, atol=1e-6)


def test_squeeze_excitation_is_a_product_with_what_the_mean_gives():
    rng = np.random.default_rng(0)
    inputs = keras.Input((None, None, 6))
    network = keras.Model(inputs, squeeze_excitation(inputs, 4, name="se"))
    squeeze, excite = rng.normal(size=(6, 4)), rng.normal(size=(4, 6))
    bias, offset = rng.normal(size=4), rng.normal(size=6)
    network.get_layer("se_squeeze").set_weights([squeeze[None, None], bias])
    network.get_layer("se_excite").set_weights([excite[None, None], offset])
    x = rng.normal(size=(2, 5, 7, 6))
    middle = np.maximum(x.mean(axis=(1, 2)) @ squeeze + bias, 0) @ excite + offset
    expected = x * np.clip(middle / 6 + 0.5, 0, 1)[:, None, None]
    np.testing.assert_allclose(network(x.astype(np.float32)), expected, atol=1e-5)


@pytest.mark.parametrize("runs", [Runs.HERE, Runs.ANYWHERE])
def test_atrous_depthwise_of_five_is_a_kernel_with_zeros_between(runs):
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 2, 11, 14, 3)).astype(np.float32)
    layer = AtrousDepthwiseConv2D(5, padding="same", dilation_rate=2, use_bias=False)
    layer.build((None, None, None, 3))

    def gradients(function):
        with tf.GradientTape() as tape:
            inputs = tf.constant(x)
            tape.watch(inputs)
            y = function(inputs)
        return y, *tape.gradient(y, [inputs, layer.kernel.value], output_gradients=dy)

    def spread(inputs):
        taps = tf.reshape(layer.kernel.value, (5, 1, 5, 1, 3))
        kernel = tf.reshape(tf.pad(taps, [(0, 0), (0, 1), (0, 0), (0, 1), (0, 0)]), (10, 10, 3, 1))
        return tf.nn.depthwise_conv2d(inputs, kernel[:9, :9], (1, 1, 1, 1), "SAME")

    with traced_for(runs):
        found = gradients(layer)
    for got, expected in zip(found, gradients(spread), strict=True):
        np.testing.assert_allclose(got, expected, atol=2e-5)


def test_graphs_have_one_operation_an_atrous_layer_where_runtimes_have_it(model):
    dense = with_output_stride(model, mobile(output_stride=32, width_multiplier=0.25), 16)
    spec = tf.TensorSpec((1, 65, 65, 3), tf.uint8)
    for runs, expected in ((Runs.CONVERTED, 2), (Runs.ANYWHERE, 0)):
        with traced_for(runs):
            graph = tf.function(lambda x: dense(x, training=False)).get_concrete_function(spec)
        nodes = graph.graph.as_graph_def().node
        assert not [node.op for node in nodes if "SpaceToBatch" in node.op]
        depthwise = [node for node in nodes if node.op == "DepthwiseConv2dNative"]
        atrous = sum(max(node.attr["dilations"].list.i) > 1 for node in depthwise)
        assert (len(depthwise), atrous) == (15, expected)


def test_parts_and_a_keras_file(model, tmp_path):
    assert backbone_parts(model) == ["conv1", *(f"block{n}" for n in range(1, 8))]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    image = random_picture(40, 50)[None]
    np.testing.assert_array_equal(loaded(image), model(image))
    freeze_through(loaded, "block3")
    assert not loaded.get_layer("block3_unit2_squeeze").kernel.trainable
    assert loaded.get_layer("block7_unit1_expand").kernel.trainable
    assert loaded.get_layer("lr_aspp_gate").kernel.trainable
