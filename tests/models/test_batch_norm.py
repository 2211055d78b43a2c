"""FusedBatchNormalization against Keras' own and against numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.config import StrategyName
from deeplab_tf.distributed.strategy import make_strategy
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


def over_two(layers_of, images, upstream):
    """One training step of a batch norm on two devices with their own images each.

    Returns output and gradient of the input by device, gradients of gamma and beta summed over the
    devices, and the moving statistics.
    """
    devices = make_strategy(StrategyName.MIRRORED)
    with devices.scope():
        layer = layers_of()
        layer.synchronized = True

    def replica(x, dy):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            total = tf.reduce_sum(tf.cast(y * dy, tf.float32))
        dx, dgamma, dbeta = tape.gradient(total, [x, layer.gamma, layer.beta])
        return y, dx, dgamma, dbeta

    def by_device(values):
        return devices.experimental_distribute_values_from_function(
            lambda context: values[context.replica_id_in_sync_group]
        )

    @tf.function
    def step(x, dy):
        return devices.run(replica, args=(x, dy))

    arguments = by_device(images), by_device(upstream)
    y, dx, dgamma, dbeta = (devices.experimental_local_results(v) for v in step(*arguments))
    moving = [tf.convert_to_tensor(v) for v in (layer.moving_mean, layer.moving_variance)]
    return [*y, *dx, sum(dgamma), sum(dbeta), *moving], step.get_concrete_function(*arguments).graph


@pytest.mark.parametrize("images", [(2, 2), (3, 1), (4, 0)], ids=str)
@pytest.mark.parametrize("dtype, bound", [("float32", 3e-5), ("float16", 5e-3)])
def test_over_two_devices_equals_one_that_sees_all_images(images, dtype, bound):
    rng = np.random.default_rng(5)
    x = (2 + 3 * rng.standard_normal((4, 5, 3, 6))).astype(dtype)
    upstream = rng.standard_normal(x.shape).astype(dtype)
    ours, theirs = pair(6)
    expected = step(theirs, x.astype("float32"), upstream.astype("float32"), training=True)

    def copied():
        policy = dtype if dtype == "float32" else f"mixed_{dtype}"
        layer = FusedBatchNormalization(momentum=MOMENTUM, epsilon=1e-5, dtype=policy)
        layer.build((None, None, None, 6))
        layer.set_weights(ours.get_weights())
        return layer

    parts = [[tf.constant(p) for p in np.split(v, [images[0]])] for v in (x, upstream)]
    (y0, y1, dx0, dx1, *rest), _ = over_two(copied, *parts)
    got = [np.concatenate([y0, y1]), np.concatenate([dx0, dx1]), *rest]
    for name, a, b in zip("y dx dgamma dbeta mean variance".split(), got, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=bound * abs(b).max(), err_msg=name)


def test_over_two_devices_keeps_the_digits_of_a_large_mean_and_sums_once_each_way():
    """E[x^2] - E[x]^2 of 1000 +- 1 has a variance that is wrong in the second digit."""
    rng = np.random.default_rng(6)
    x = (1000 + rng.standard_normal((4, 8, 8, 3))).astype(np.float32)

    def begun():
        layer = FusedBatchNormalization(momentum=MOMENTUM, epsilon=1e-5)
        layer.build((None, None, None, 3))
        layer.moving_mean.assign([999.0, 1001.0, 1000.5])
        return layer

    halves = [tf.constant(half) for half in np.split(x, 2)]
    (y0, y1, *_, variance), graph = over_two(begun, halves, halves)
    wide = np.float64(x)
    expected = (wide - wide.mean((0, 1, 2))) / np.sqrt(wide.var((0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(np.concatenate([y0, y1]), expected, atol=1e-3)
    np.testing.assert_allclose(variance, 0.9 + 0.1 * wide.var((0, 1, 2)), rtol=1e-4)
    collectives = [op for op in graph.get_operations() if op.type.startswith("CollectiveReduce")]
    assert len(collectives) == 4  # of two devices
