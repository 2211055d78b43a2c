"""A small random network in the form of DeepLab's float release for LiteRT."""

import pathlib

import keras
import tensorflow as tf

from deeplab_tf.artefacts.trained_model import TrainedModel
from deeplab_tf.config import Backbone
from deeplab_tf.models.conv import Runs, traced_for
from support.random_model import random_trained_model

SIDE = 65


def light_model(num_classes: int = 6) -> TrainedModel:
    """MobileNetV2 of width 0.25 with the light head and random weights."""
    return random_trained_model(
        backbone=Backbone.MOBILENET_V2,
        num_classes=num_classes,
        width_multiplier=0.25,
        channel_divisor=1,
        output_stride=8,
        multi_grid=(1, 1, 1),
        aspp_rates=(),
        normalization="symmetric",
        batch_norm_epsilon=1e-5,
    )


def write_light(trained: TrainedModel, path: pathlib.Path) -> pathlib.Path:
    """Writes the network as a `.tflite` file for images of `SIDE` pixels; returns its path."""
    converter = tf.lite.TFLiteConverter.from_concrete_functions([light_network(trained)])
    path.write_bytes(converter.convert())
    return path


def light_network(trained, side=SIDE):
    """The network as DeepLab's exporter made them: float input in [-1, 1], image pooling first in
    the concatenation, batch norms folded, logits at the size of the image."""
    model = trained.model
    features = keras.Model(model.input, model.get_layer("block7_unit1_project_bn").output)
    layer = model.get_layer
    resize = tf.compat.v1.image.resize_bilinear

    def block(name, x):
        return tf.nn.relu(layer(f"{name}_bn")(layer(name)(x), training=False))

    def logits(image):
        x = features(image * 127.5 + 127.5, training=False)
        pooled = tf.nn.avg_pool2d(x, x.shape[1:3], x.shape[1:3], "VALID")
        pooled = resize(block("aspp_pool", pooled), x.shape[1:3], align_corners=True)
        kernel = layer("aspp_project").kernel
        kernel = tf.concat([kernel[:, :, 256:], kernel[:, :, :256]], axis=2)
        x = tf.nn.conv2d(tf.concat([pooled, block("aspp_conv1", x)], -1), kernel, 1, "SAME")
        x = layer("logits")(tf.nn.relu(layer("aspp_project_bn")(x, training=False)))
        return resize(x, (side, side), align_corners=True)

    signature = tf.TensorSpec((1, side, side, 3), tf.float32, name="image")
    # As a file has it on every processor, and not as this one would run it.
    with traced_for(Runs.CONVERTED):
        return tf.function(logits, input_signature=[signature]).get_concrete_function()
