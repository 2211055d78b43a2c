"""Mixed precision: float32 weights, 16 bits inside, float32 where digits are few."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.noise_run import MODEL_CONFIG, noise, noise_run, shared_run
from support.precisions import skip_without

from deeplab_tf.config import Precision
from deeplab_tf.errors import DeeplabError
from deeplab_tf.models import build_model, kernels
from deeplab_tf.models.conv import AtrousConv2D, AtrousDepthwiseConv2D, FusedBatchNormalization
from deeplab_tf.models.precision import computing_in

MIXED = {Precision.MIXED_BFLOAT16: "bfloat16", Precision.MIXED_FLOAT16: "float16"}
IN_FLOAT32 = {"normalize", "logits", "upsample"}


@pytest.fixture(params=MIXED, ids=str)
def precision(request):
    skip_without(request.param)
    return request.param


def test_a_precision_that_this_cpu_has_not_is_one_line(monkeypatch):
    monkeypatch.setattr(kernels, "convolves", lambda dtype: dtype == "float32")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    with computing_in(Precision.FLOAT32):
        pass
    message = "needs convolutions in bfloat16, .* within ONEDNN_MAX_CPU_ISA=AVX2; unset it, or set"
    with pytest.raises(DeeplabError, match=message), computing_in(Precision.MIXED_BFLOAT16):
        pass


def test_weights_are_float32_and_the_middle_is_not(precision):
    plain = build_model(MODEL_CONFIG)
    with computing_in(precision):
        mixed = build_model(MODEL_CONFIG)
    assert {weight.dtype for weight in mixed.weights} == {"float32"}
    assert [w.path for w in mixed.weights] == [w.path for w in plain.weights]
    for layer in mixed.layers:
        if not isinstance(layer, keras.layers.InputLayer):
            expected = "float32" if layer.name in IN_FLOAT32 else MIXED[precision]
            assert layer.compute_dtype == expected, layer.name

    mixed.set_weights(plain.get_weights())
    image, _ = noise(1, side=65)
    expected, found = plain(image).numpy(), mixed(image).numpy()
    assert found.dtype == np.float32
    # bfloat16 has 8 bits, float16 11; some twenty roundings in a row.
    bound = {Precision.MIXED_BFLOAT16: 0.1, Precision.MIXED_FLOAT16: 0.01}[precision]
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert 0 < error < bound


def test_the_precision_ends_with_its_scope():
    with pytest.raises(KeyError), computing_in(Precision.MIXED_FLOAT16):
        assert keras.config.dtype_policy().name == "mixed_float16"
        raise KeyError
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("depthwise", [False, True])
def test_atrous_gradients_are_those_of_float32(precision, depthwise):
    kernel = np.random.default_rng(1).normal(size=(3, 3, 4, 1 if depthwise else 5))
    x = np.random.default_rng(0).normal(size=(2, 17, 17, 4)).astype(np.float32)

    def gradients(dtype):
        if depthwise:
            layer = AtrousDepthwiseConv2D(
                3, padding="same", dilation_rate=3, use_bias=False, dtype=dtype
            )
        else:
            layer = AtrousConv2D(5, 3, padding="same", dilation_rate=3, use_bias=False, dtype=dtype)
        layer.build(x.shape)
        layer.kernel.assign(kernel)
        image = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(image)
            y = layer(image)
            loss = tf.reduce_mean(tf.cast(y, tf.float32) ** 2)
        assert y.dtype == layer.compute_dtype
        return tape.gradient(loss, [image, layer.kernel.value])

    for expected, found in zip(gradients("float32"), gradients(str(precision)), strict=True):
        scale = np.abs(expected).max()
        assert scale > 0
        np.testing.assert_allclose(found, expected, atol=0.02 * scale)


def test_statistics_of_a_batch_norm_are_of_float32(precision):
    # 300 of 16 bits: next to a mean of 1000 a bfloat16 has steps of 4.
    x = np.random.default_rng(0).normal(1000, 1, (2, 9, 9, 3)).astype(np.float32)
    x = tf.cast(tf.cast(x, MIXED[precision]), tf.float32)
    found = []
    for policy in ("float32", str(precision)):
        layer = FusedBatchNormalization(momentum=0.0, dtype=policy)
        layer(x, training=True)
        found.append((layer.moving_mean.numpy(), layer.moving_variance.numpy()))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4)


def test_losses_and_the_heads_gradient_are_those_of_float32(precision):
    plain = shared_run(2, base_learning_rate=0.01)
    mixed = noise_run(2, base_learning_rate=0.01, precision=precision)
    for a, b in zip(plain.losses, mixed.losses, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-3)
    # Deeper down random labels leave rounding and the ReLUs that it flips.
    index = [weight.path for weight in plain.model.weights].index("logits/kernel")
    first, second = ((run.history[-1][index] - run.before[index]).ravel() for run in (plain, mixed))
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    assert cosine > 0.99
