"""AtrousConv2D, the fused batch norm, and the block made of both."""

from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.config import BatchNormMode, ModelConfig
from deeplab_tf.models import kernels
from deeplab_tf.models.conv import (
    AtrousConv2D,
    FusedBatchNormalization,
    conv_bn,
    decayed_kernels,
    set_batch_norm_mode,
)

RATES = (1, 2, 6, 12, 18, 36)


def atrous_reference(x, kernel, rate, padding="same"):
    """The paper's y[i] = sum over k of x[i + r k] w[k], k centred, zeros outside; float64."""
    x, kernel = np.float64(x), np.float64(kernel)
    height, width = x.shape[1:3]
    reach = rate * (kernel.shape[0] // 2)
    zeros = ((0, 0), (reach, reach), (reach, reach), (0, 0))
    padded = np.pad(x, zeros) if padding == "same" else x
    if padding == "valid":
        height, width = height - 2 * reach, width - 2 * reach
    y = np.zeros((x.shape[0], height, width, kernel.shape[3]))
    for row in range(kernel.shape[0]):
        for column in range(kernel.shape[1]):
            top, left = row * rate, column * rate
            y += padded[:, top : top + height, left : left + width] @ kernel[row, column]
    return y


def layers_with_equal_weights(rng, channels, padding, rate, use_bias):
    pair = [
        cls(5, 3, padding=padding, dilation_rate=rate, use_bias=use_bias)
        for cls in (AtrousConv2D, keras.layers.Conv2D)
    ]
    kernel = rng.standard_normal((3, 3, channels, 5)).astype(np.float32)
    bias = rng.standard_normal(5).astype(np.float32)
    for layer in pair:
        layer.build((None, None, None, channels))
        layer.set_weights([kernel, bias] if use_bias else [kernel])
    return pair, kernel, bias


def forward_and_gradients(layer, x, upstream):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        loss = tf.reduce_sum(y * upstream)
    return [t.numpy() for t in (y, *tape.gradient(loss, [x, *layer.trainable_weights]))]


@pytest.mark.parametrize("rate", RATES)
def test_same_padding_equals_keras_and_the_papers_formula(rate):
    """On odd and even maps, of which the larger rates reach beyond some or all."""
    for size in ((33, 33), (16, 21), (9, 30)):
        check_same_padding(rate, size)


def check_same_padding(rate, size):
    rng = np.random.default_rng(rate)
    x = rng.standard_normal((3, *size, 4)).astype(np.float32)
    upstream = rng.standard_normal((3, *size, 5)).astype(np.float32)
    (ours, theirs), kernel, bias = layers_with_equal_weights(rng, 4, "same", rate, True)
    got = forward_and_gradients(ours, x, upstream)
    expected = forward_and_gradients(theirs, x, upstream)
    for ours_value, theirs_value in zip(got, expected, strict=True):
        scale = np.abs(theirs_value).max()
        np.testing.assert_allclose(ours_value, theirs_value, atol=1e-5 * scale, rtol=0)
    reference = atrous_reference(x, kernel, rate) + bias
    np.testing.assert_allclose(got[0], reference, atol=1e-5 * np.abs(reference).max(), rtol=0)


@pytest.mark.parametrize("rate", [1, 2, 6, 12])
@pytest.mark.parametrize("use_bias", [False, True])
def test_valid_padding_equals_keras_and_the_papers_formula(rate, use_bias):
    rng = np.random.default_rng(rate)
    x = rng.standard_normal((2, 27, 30, 4)).astype(np.float32)
    upstream = rng.standard_normal((2, 27 - 2 * rate, 30 - 2 * rate, 5)).astype(np.float32)
    (ours, theirs), kernel, bias = layers_with_equal_weights(rng, 4, "valid", rate, use_bias)
    got = forward_and_gradients(ours, x, upstream)
    expected = forward_and_gradients(theirs, x, upstream)
    for ours_value, theirs_value in zip(got, expected, strict=True):
        scale = np.abs(theirs_value).max()
        np.testing.assert_allclose(ours_value, theirs_value, atol=1e-5 * scale, rtol=0)
    reference = atrous_reference(x, kernel, rate, "valid") + (bias if use_bias else 0)
    np.testing.assert_allclose(got[0], reference, atol=1e-5 * np.abs(reference).max(), rtol=0)


def test_gradients_equal_the_formulas_transpose():
    """The convolution is linear: <u, A x> = <A^T u, x> holds the gradient to numpy alone."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 15, 18, 4)).astype(np.float32)
    upstream = rng.standard_normal((2, 15, 18, 5)).astype(np.float32)
    (ours, _), _, _ = layers_with_equal_weights(rng, 4, "same", 6, False)
    _, by_x, by_kernel = forward_and_gradients(ours, x, upstream)
    other = rng.standard_normal(x.shape)
    kernel = ours.kernel.numpy()
    np.testing.assert_allclose(
        np.sum(by_x * other), np.sum(upstream * atrous_reference(other, kernel, 6)), rtol=1e-4
    )
    step = rng.standard_normal(kernel.shape)
    np.testing.assert_allclose(
        np.sum(by_kernel * step), np.sum(upstream * atrous_reference(x, step, 6)), rtol=1e-4
    )


def test_rate_beyond_the_map_leaves_the_centre_tap():
    """Figure 4: the 3x3 degenerates to 1x1."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 9, 7, 3)).astype(np.float32)
    layer = AtrousConv2D(4, 3, padding="same", dilation_rate=9, use_bias=False)
    np.testing.assert_allclose(layer(x), x @ layer.kernel.numpy()[1, 1], atol=1e-5)


def test_saves_as_the_parent_does():
    layer = AtrousConv2D(4, 3, padding="same", dilation_rate=(6, 6), name="branch")
    config = keras.saving.serialize_keras_object(layer)
    assert config["registered_name"] == "deeplab_tf>AtrousConv2D"
    assert keras.saving.deserialize_keras_object(config).dilation_rate == (6, 6)


def test_half_precision_keeps_the_fused_batch_norm():
    """Which computes in float32, whatever the machine."""
    with mock.patch.object(kernels, "onednn", lambda dtype: kernels.OneDNN.AVX2):
        layer = FusedBatchNormalization(dtype="mixed_bfloat16")
        layer.build((1, 5, 7, 6))
        spec = tf.TensorSpec((1, 5, 7, 6), tf.bfloat16)
        graph = tf.function(lambda x: layer(x, training=False)).get_concrete_function(spec).graph
    assert "FusedBatchNormV3" in [node.type for node in graph.get_operations()]


def test_the_inference_form_of_avx2_is_the_fused_batch_norm():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 5, 7, 6)).astype(np.float32)
    layer = FusedBatchNormalization(epsilon=1e-5)
    layer.build(x.shape)
    layer.set_weights([rng.uniform(0.5, 2, 6).astype(np.float32) for _ in range(4)])
    with mock.patch.object(kernels, "onednn", lambda dtype: kernels.OneDNN.AVX512):
        fused = layer(x, training=False)
    with mock.patch.object(kernels, "onednn", lambda dtype: kernels.OneDNN.AVX2):
        spec = tf.TensorSpec(x.shape)
        graph = tf.function(lambda x: layer(x, training=False)).get_concrete_function(spec)
        np.testing.assert_allclose(graph(x), fused, atol=1e-5)
    assert "FusedBatchNormV3" not in [node.type for node in graph.graph.get_operations()]


def strided_block(size, kernel_size):
    image = keras.Input((*size, 2))
    model_config = ModelConfig(batch_norm_epsilon=1e-5)
    options = {"name": "c", "model_config": model_config, "stride": 2, "activation": None}
    return keras.Model(image, conv_bn(image, 3, kernel_size, **options))


@pytest.mark.parametrize("kernel_size", [1, 3, 7])
def test_strided_convolution_keeps_the_grid(kernel_size):
    """Sample i is centred on sample 2 i, for odd and even sizes alike."""
    rng = np.random.default_rng(0)
    for size, half in (((9, 9), (5, 5)), ((10, 13), (5, 7)), ((8, 8), (4, 4)), ((1, 2), (1, 1))):
        x = rng.standard_normal((2, *size, 2)).astype(np.float32)
        block = strided_block(size, kernel_size)
        y = block(x).numpy()
        dense = atrous_reference(x, block.get_layer("c").kernel, 1)
        assert y.shape[1:3] == half
        np.testing.assert_allclose(y, dense[:, ::2, ::2] / np.sqrt(1 + 1e-5), atol=1e-5)


def test_conv_bn_names_and_decay():
    block = strided_block((8, 8), 3)
    assert [layer.name for layer in block.layers[1:]] == ["c_pad", "c", "c_bn"]
    assert [kernel.path for kernel in decayed_kernels(block)] == ["c/kernel"]


def test_set_batch_norm_mode():
    block = strided_block((8, 8), 3)
    norm = block.get_layer("c_bn")
    assert isinstance(norm, FusedBatchNormalization)
    for mode, replicas, trainable, synchronized in (
        (BatchNormMode.FROZEN, 2, False, False),
        (BatchNormMode.SYNC, 2, True, True),
        (BatchNormMode.SYNC, 1, True, False),
        (BatchNormMode.TRAIN, 2, True, False),
    ):
        set_batch_norm_mode(block, mode, replicas)
        assert (norm.trainable, norm.synchronized) == (trainable, synchronized)
        assert block.get_layer("c").trainable
