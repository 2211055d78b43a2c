"""keras-hub's DeepLab of the same backbone, on TensorFlow.

Its ResNet cannot be made atrous, so it is another network: DeepLabv3+ as its documentation builds
it, on the map of stride 32 with a decoder at stride 4. `of peak` counts its own operations.
"""

import keras
import keras_hub
import numpy as np
import tensorflow as tf

from .turns import Way
from .work import CLASSES, Work, layer_flops


def make_way(work: Work) -> tuple[Way, float]:
    """A forward pass or a training step, and its operations."""
    # Its upsampling by whole factors wants sides that are multiples of 32.
    size = -(-work.size // 32) * 32
    model = _build(size)
    flops = work.batch * (3 if work.training else 1) * _flops(model)
    images = np.pad(work.images(), ((0, 0), (0, size - work.size), (0, size - work.size), (0, 0)))
    images = tf.constant(images.astype(np.float32))
    if not work.training:
        logits = tf.function(lambda x: model(x, training=False))
        return lambda: logits(images)[0, 0, 0, 0].numpy(), flops
    mask = tf.constant(np.random.default_rng(1).integers(0, CLASSES, images.shape[:3]))
    optimizer = keras.optimizers.SGD(1e-4, momentum=0.9)
    optimizer.build(model.trainable_variables)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = loss_of(mask, model(images, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    return lambda: step().numpy(), flops


def _flops(model: keras.Model) -> float:
    """Returns the FLOPs of one image; the convolutions lie in models inside models."""
    layers = model._flatten_layers(include_self=False, recursive=True)
    # The models inside have no output of their own.
    layers = [layer for layer in layers if isinstance(layer, keras.layers.Conv2D)]
    return sum(layer_flops(layer, layer.output.shape) for layer in layers)


def _build(size: int) -> keras.Model:
    encoder = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=[3, 4, 23, 3],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="bottleneck_block",
        image_shape=(size, size, 3),
    )
    backbone = keras_hub.models.DeepLabV3Backbone(
        image_encoder=encoder,
        spatial_pyramid_pooling_key="P5",
        low_level_feature_key="P2",
        upsampling_size=8,
        dilation_rates=[6, 12, 18],
        image_shape=(size, size, 3),
    )
    return keras_hub.models.DeepLabV3ImageSegmenter(backbone, num_classes=CLASSES)
