"""MobileNetV2: the paper's strides and rates, widths, and atrous depthwise convolutions."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.config import Backbone, ModelConfig
from deeplab_tf.models import AtrousDepthwiseConv2D, build_model, kernels, with_output_stride
from deeplab_tf.models.conv import Runs, traced_for
from deeplab_tf.models.mobilenet_v2 import plan_units, scaled_channels, width_of
from deeplab_tf.models.parts import backbone_parts, freeze_through, rate_multipliers


def mobile(**fields):
    fields = {"num_classes": 5, "aspp_rates": (), **fields}
    return ModelConfig(backbone=Backbone.MOBILENET_V2, multi_grid=(1, 1, 1), **fields)


# Read off the released files: at 8 by deeplabv3_257_mv_gpu.tflite, at 16 by Coral's.
RATES = {8: [1] * 7 + [2] * 7 + [4] * 3, 16: [1] * 14 + [2] * 3, 32: [1] * 17}
STRIDED = {8: [1, 3], 16: [1, 3, 6], 32: [1, 3, 6, 13]}


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_strides_and_rates_are_the_released_models(output_stride):
    units = plan_units(mobile(output_stride=output_stride))
    assert [unit.rate for unit in units] == RATES[output_stride]
    assert [i for i, unit in enumerate(units) if unit.stride == 2] == STRIDED[output_stride]


def test_widths():
    # TF-Slim's and Keras' rule, and the one of DeepLab's narrow models.
    assert [scaled_channels(c, 1.4, 8) for c in (16, 24, 32)] == [24, 32, 48]
    assert [scaled_channels(c, 0.5, 8) for c in (16, 24, 32)] == [8, 16, 16]
    assert [scaled_channels(c, 0.5, 1) for c in (16, 24, 32)] == [8, 12, 16]
    assert width_of([8, 12, 16, 32, 48, 80, 160]) == (0.5, 1)
    assert width_of([16, 24, 32, 64, 96, 160, 320]) == (1.0, 8)
    assert width_of([16, 24, 32, 64, 96, 160, 321]) is None


def test_as_many_weights_as_keras_mobilenet_v2():
    ours = build_model(mobile())
    theirs = keras.applications.MobileNetV2(weights=None, include_top=False)
    last = theirs.get_layer("Conv_1").count_params() + theirs.get_layer("Conv_1_bn").count_params()
    backbone = sum(layer.count_params() for layer in ours.layers if "block" in layer.name)
    backbone += sum(ours.get_layer(name).count_params() for name in ("conv1", "conv1_bn"))
    assert backbone == theirs.count_params() - last


def test_weights_do_not_depend_on_the_output_stride_and_maps_are_subsampled():
    model_config = mobile(output_stride=32, width_multiplier=0.35)
    model = build_model(model_config)
    image = np.random.default_rng(0).integers(0, 256, (1, 65, 97, 3), np.uint8)
    fine = with_output_stride(model, model_config, 8)
    coarse_map, fine_map = (
        keras.Model(m.input, m.get_layer("block7_unit1_project_bn").output)(image).numpy()
        for m in (model, fine)
    )
    # Inside, where no padding is seen by either; the same function on a denser grid.
    assert coarse_map.shape[1:3] == (3, 4) and fine_map.shape[1:3] == (9, 13)
    np.testing.assert_allclose(fine_map[:, ::4, ::4], coarse_map, atol=1e-4)


@pytest.mark.parametrize("rate", [2, 3])
@pytest.mark.parametrize("size", [(9, 12), (5, 5)])
def test_depthwise_gradients_are_those_of_a_sum_over_taps(rate, size):
    """TensorFlow's own CPU gradient of the native operation is wrong; numpy in float64 shows it."""
    rng = np.random.default_rng(rate)
    x, dy = rng.standard_normal((2, 2, *size, 3))
    layer = AtrousDepthwiseConv2D(3, padding="same", dilation_rate=rate, use_bias=False)
    layer.build((None, None, None, 3))
    kernel = rng.standard_normal((3, 3, 3, 1))
    layer.set_weights([kernel])
    y, dx, dk = np.zeros_like(x), np.zeros_like(x), np.zeros_like(kernel)
    height, width = size
    for i in range(3):
        for j in range(3):
            up, left = (i - 1) * rate, (j - 1) * rate
            rows = slice(max(0, -up), min(height, height - up))
            columns = slice(max(0, -left), min(width, width - left))
            there = (
                slice(None),
                slice(rows.start + up, rows.stop + up),
                slice(columns.start + left, columns.stop + left),
            )
            if rows.start >= rows.stop or columns.start >= columns.stop:
                continue
            here = (slice(None), rows, columns)
            y[here] += x[there] * kernel[i, j, :, 0]
            dx[there] += dy[here] * kernel[i, j, :, 0]
            dk[i, j, :, 0] = (x[there] * dy[here]).sum(axis=(0, 1, 2))
    for context in (None, traced_for(Runs.ANYWHERE)):
        with tf.GradientTape() as tape:
            inputs = tf.constant(x, tf.float32)
            tape.watch(inputs)
            if context is None:
                out = layer(inputs)
            else:
                with context:
                    out = layer(inputs)
        grads = tape.gradient(out, [inputs, layer.kernel], output_gradients=tf.cast(dy, tf.float32))
        for got, expected in zip((out, *grads), (y, dx, dk), strict=True):
            np.testing.assert_allclose(got, expected, atol=2e-5)


def test_no_graph_has_space_to_batch():
    """One operation is each atrous layer only in the graphs for other runtimes."""
    model = build_model(mobile(output_stride=8, width_multiplier=0.1))
    spec = tf.TensorSpec((1, 65, 65, 3), tf.uint8)
    atrous = {}
    for runs in Runs:
        with traced_for(runs):
            graph = tf.function(lambda x: model(x, training=False)).get_concrete_function(spec)
        nodes = graph.graph.as_graph_def().node
        assert not [node.op for node in nodes if "SpaceToBatch" in node.op]
        depthwise = [node for node in nodes if node.op == "DepthwiseConv2dNative"]
        assert len(depthwise) == 17
        atrous[runs] = sum(max(node.attr["dilations"].list.i) > 1 for node in depthwise)
    assert atrous[Runs.CONVERTED] == 10 and atrous[Runs.ANYWHERE] == 0
    assert atrous[Runs.HERE] == (10 if kernels.runs_atrous_depthwise("float32") else 0)


def test_parts_freeze_and_rates():
    model = build_model(mobile(width_multiplier=0.1))
    assert backbone_parts(model) == ["conv1", *(f"block{n}" for n in range(1, 8))]
    assert set(rate_multipliers(model, 0.1, 2.0)) == {0.1, 2.0}
    freeze_through(model, "block2")
    assert not model.get_layer("block2_unit2_project").kernel.trainable
    assert not model.get_layer("conv1_bn").trainable
    assert model.get_layer("block3_unit1_expand").kernel.trainable
    assert len(rate_multipliers(model, 0.1, 2.0)) == len(model.trainable_variables)
