"""Our network on TensorFlow: the graph that serves and the step that trains."""

import contextlib
from collections.abc import Iterator
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf.config import TrainConfig
from deeplab_tf.models import build_model, conv
from deeplab_tf.models.folding import folded
from deeplab_tf.models.precision import computing_in
from deeplab_tf.training.step import make_optimizer, make_train_step

from .turns import Way
from .work import Work


def make_way(work: Work, calls: int = 1, native: bool = True) -> tuple[Way, keras.Model]:
    """`calls` forward passes or training steps, and the network; already traced.

    A forward pass is that of evaluation and prediction, with the batch norms folded. Without
    `native` it is what Keras' own layers would give: batch norms, and atrous convolutions by
    SpaceToBatch.
    """
    with keras_convolutions(native):
        model = build(work)
        if work.training:
            run = _training(model, work)
        else:
            run = _forward(folded(model) if native else model, work)
        _wait(run())  # traces

    def way() -> None:
        for _ in range(calls):
            result = run()
        _wait(result)

    return way, model


def build(work: Work) -> keras.Model:
    """Our network, with random weights."""
    with computing_in(work.precision):
        return build_model(work.config)


@contextlib.contextmanager
def keras_convolutions(native: bool) -> Iterator[None]:
    """Keras' way is what the layer falls back to where TensorFlow has no native gradient."""
    with mock.patch.object(conv, "_native_atrous_gradient", lambda dtype: native):
        yield


def _forward(model: keras.Model, work: Work):
    images = tf.constant(work.images())
    logits = tf.function(lambda x: model(x, training=False))
    return lambda: logits(images)


def _training(model: keras.Model, work: Work):
    images = tf.constant(work.images().astype(np.float32))
    labels = tf.constant(work.labels())
    config = TrainConfig(base_learning_rate=1e-4)
    optimizer = make_optimizer(config)
    step = make_train_step(model, optimizer, tf.distribute.get_strategy(), config.weight_decay)
    return lambda: step(images, labels)


def _wait(result) -> None:
    """Reads one number of each output, after which the device is done."""
    for tensor in tf.nest.flatten(result):
        tf.reshape(tensor, [-1])[0].numpy()
