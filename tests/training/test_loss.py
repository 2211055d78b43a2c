"""The loss against numpy in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.training.loss import cross_entropy_sum, weight_decay_loss


def test_cross_entropy_equals_float64_numpy_and_leaves_void_out():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 5, 7, 4)).astype(np.float32) * 3
    labels = rng.integers(0, 4, (2, 5, 7)).astype(np.uint8)
    labels[rng.random(labels.shape) < 0.3] = 255
    wide = logits.astype(np.float64)
    log_softmax = wide - np.log(np.exp(wide).sum(-1, keepdims=True))
    expected = -sum(
        log_softmax[index][label] for index, label in np.ndenumerate(labels) if label != 255
    )

    total, count = cross_entropy_sum(tf.constant(labels), tf.constant(logits))

    assert count.numpy() == (labels != 255).sum()
    assert total.numpy() == pytest.approx(expected, rel=1e-6)


def test_all_void_gives_zero_loss_and_zero_gradient():
    logits = tf.Variable(tf.random.normal((1, 3, 3, 2)))
    with tf.GradientTape() as tape:
        total, count = cross_entropy_sum(tf.fill((1, 3, 3), 255), logits)
    assert (total.numpy(), count.numpy()) == (0, 0)
    assert not np.any(tape.gradient(total, logits))


def test_weight_decay_is_half_lambda_times_the_squared_norm():
    kernels = [keras.Variable([3.0, 4.0]), keras.Variable([[1.0], [2.0]])]
    assert weight_decay_loss(kernels, 1e-4).numpy() == pytest.approx(1e-4 / 2 * (25 + 5))
