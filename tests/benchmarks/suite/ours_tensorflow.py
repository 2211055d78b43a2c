"""Our network on TensorFlow: the graph that serves and the step that trains."""

import contextlib
import enum
from collections.abc import Iterator
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf.config import TrainConfig
from deeplab_tf.models import AtrousConv2D, build_model
from deeplab_tf.models.folding import folded
from deeplab_tf.models.precision import computing_in
from deeplab_tf.training.optimizer import make_optimizer
from deeplab_tf.training.step import make_train_step

from .turns import Way
from .work import Work


class Convolution(enum.Enum):
    """The code that computes the atrous convolutions."""

    OURS = "the forms that leave padding out"
    TENSORFLOW = "TensorFlow's own operation and gradient, which only oneDNN has on a CPU"
    KERAS = "Keras' layer, by SpaceToBatch"


def make_way(
    work: Work, calls: int = 1, convolution: Convolution = Convolution.OURS
) -> tuple[Way, keras.Model]:
    """`calls` forward passes or training steps, and the network; already traced.

    A forward pass is that of evaluation and prediction, with the batch norms folded; of Keras' own
    layers with batch norms, since that is what they would give.
    """
    with _computed_by(convolution):
        model = build(work)
        if work.training:
            run = _training(model, work)
        else:
            as_built = convolution is Convolution.KERAS
            run = _forward(model if as_built else folded(model), work)
        _wait(run())  # traces

    def way() -> None:
        for _ in range(calls):
            result = run()
        _wait(result)

    return way, model


def build(work: Work) -> keras.Model:
    """Our network, with random weights."""
    with computing_in(work.precision):
        return build_model(work.model_config)


@contextlib.contextmanager
def _computed_by(convolution: Convolution) -> Iterator[None]:
    def by_tensorflow(layer, inputs, kernel):
        padding = layer.padding.upper()
        rates = layer.dilation_rate
        return tf.nn.conv2d(inputs, kernel, layer.strides, padding, dilations=rates)

    ways = {
        Convolution.OURS: AtrousConv2D.convolution_op,
        Convolution.TENSORFLOW: by_tensorflow,
        Convolution.KERAS: keras.layers.Conv2D.convolution_op,
    }
    with mock.patch.object(AtrousConv2D, "convolution_op", ways[convolution]):
        yield


def _forward(model: keras.Model, work: Work):
    images = tf.constant(work.images())
    logits = tf.function(lambda x: model(x, training=False))
    return lambda: logits(images)


def _training(model: keras.Model, work: Work):
    images = tf.constant(work.images().astype(np.float32))
    masks = tf.constant(work.masks())
    train = TrainConfig(base_learning_rate=1e-4)
    optimizer = make_optimizer(train, model)
    step = make_train_step(model, optimizer, tf.distribute.get_strategy(), train)
    return lambda: step(images, masks)


def _wait(result) -> None:
    """Reads one number of each output, after which the device is done."""
    for tensor in tf.nest.flatten(result):
        tf.reshape(tensor, [-1])[0].numpy()
