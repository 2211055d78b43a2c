"""FusedBatchNormalization against Keras' own and against numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.models.conv import FusedBatchNormalization

MOMENTUM = 0.9


def pair(channels, seed=0, epsilon=1e-5):
    """Ours and Keras' with the same random gamma, beta and moving statistics."""
    rng = np.random.default_rng(seed)
    weights = [rng.uniform(0.5, 1.5, channels).astype(np.float32) for _ in range(4)]
    both = []
    for cls in (FusedBatchNormalization, keras.layers.BatchNormalization):
        layer = cls(momentum=MOMENTUM, epsilon=epsilon)
        layer.build((None, None, None, channels))
        layer.set_weights(weights)
        both.append(layer)
    return both


def step(layer, x, upstream, training):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=training)
        loss = tf.reduce_sum(y * upstream)
    variables = [x, layer.gamma, layer.beta]
    moving = [layer.moving_mean.numpy(), layer.moving_variance.numpy()]
    return [y.numpy(), *(g.numpy() for g in tape.gradient(loss, variables)), *moving]


@pytest.mark.parametrize("shape", [(4, 7, 9, 5), (2, 1, 1, 5), (1, 1, 1, 5), (1, 33, 2, 5)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_keras(shape, training):
    """Output, gradients by input, gamma, beta, and moving statistics after a step."""
    rng = np.random.default_rng(1)
    x = (2 + 3 * rng.standard_normal(shape)).astype(np.float32)
    upstream = rng.standard_normal(shape).astype(np.float32)
    ours, theirs = pair(shape[-1])
    got, expected = step(ours, x, upstream, training), step(theirs, x, upstream, training)
    names = ("output", "input", "gamma", "beta", "moving mean", "moving variance")
    for name, a, b in zip(names, got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4, err_msg=name)


def test_moving_statistics_by_hand():
    """Keras' convention: the biased variance, weighted 1 - momentum."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((2, 3, 5, 4)).astype(np.float32)
    layer, _ = pair(4)
    mean, variance = layer.moving_mean.numpy(), layer.moving_variance.numpy()
    layer(x, training=True)
    batch = np.float64(x).reshape(-1, 4)
    np.testing.assert_allclose(layer.moving_mean, 0.9 * mean + 0.1 * batch.mean(0), rtol=1e-5)
    # ddof=1, Bessel's correction, would differ by 3 % of a tenth here.
    np.testing.assert_allclose(
        layer.moving_variance, 0.9 * variance + 0.1 * batch.var(0), rtol=1e-5
    )


def test_frozen_uses_and_keeps_the_moving_statistics():
    x = np.random.default_rng(3).standard_normal((4, 5, 6, 3)).astype(np.float32) * 7
    layer, theirs = pair(3)
    before = [v.tobytes() for v in layer.get_weights()]
    layer.trainable = theirs.trainable = False
    for _ in range(3):
        output = layer(x, training=True)
    assert [v.tobytes() for v in layer.get_weights()] == before
    np.testing.assert_allclose(output, theirs(x, training=True), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(output, layer(x, training=False))
    assert layer.trainable_weights == []


def test_epsilon_is_not_raised_to_1_001e_5():
    """At a variance of 0 or 1e-5 the two epsilons differ by 5 or 2.5 parts in 10,000."""
    layer = FusedBatchNormalization(epsilon=1e-5)
    layer.build((None, None, None, 1))
    layer.moving_variance.assign([0.0])
    one = np.ones((1, 2, 2, 1), np.float32)
    np.testing.assert_allclose(layer(one, training=False), 1e-5**-0.5 * one, rtol=1e-5)
    batch = np.float32(1e-5**0.5) * np.float32([1, -1]).reshape(1, 1, 2, 1)
    np.testing.assert_allclose(
        layer(batch, training=True).numpy().ravel(), [0.5**0.5, -(0.5**0.5)], rtol=2e-5
    )


def test_in_a_compiled_training_graph():
    x = np.random.default_rng(4).standard_normal((4, 6, 6, 3)).astype(np.float32)
    eager, graph = pair(3)[0], pair(3)[0]

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))])
    def call(batch):
        return graph(batch, training=True)

    np.testing.assert_allclose(call(x), eager(x, training=True), atol=1e-6)
    np.testing.assert_allclose(graph.moving_variance, eager.moving_variance, atol=1e-6)
