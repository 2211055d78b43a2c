"""The auxiliary head: a second, small head on an inner map, which serves only the training.

torchvision trains its DeepLabv3 with this head on layer3 (its `FCNHead`), and so do successors of
the paper. The loss of its logits reaches the inner layers by a short way.
"""

import keras

from deeplab_tf.config import ModelConfig
from deeplab_tf.config.schema import auxiliary_part
from deeplab_tf.models.conv_bn import ConvBN, class_scores
from deeplab_tf.models.dropout import KeyedDropout
from deeplab_tf.models.parts import part_of
from deeplab_tf.models.resize import Upsample

DROPOUT = 0.1
NARROWER = 4
"""How many times fewer channels the head's 3x3 convolution has than the map."""
_SIDE = 1024
"""A side in pixels that every output_stride divides."""


def with_auxiliary(model: keras.Model, model_config: ModelConfig) -> keras.Model:
    """Returns a network that shares all layers of `model` and has the auxiliary head besides.

    The network maps an image [B, H, W, bands] to the logits of `model` and those of the auxiliary
    head, both [B, H, W, num_classes] float32. The head, with random initial weights, is the layers
    `auxiliary_conv` (3x3, batch norm and ReLU), `auxiliary_dropout`, `auxiliary_logits` (1x1) and
    `auxiliary_upsample`. `model` stays as it is, so that nothing but a training has the head.

    Args:
        model: a network of `build_model`.
        model_config: the config that describes `model`.
    """
    part = auxiliary_part(model_config.backbone)
    # Layers are listed in the order in which they run.
    features = [layer for layer in model.layers if part_of(layer.name) == part][-1].output
    x = ConvBN(model_config)(
        features, max(1, features.shape[-1] // NARROWER), 3, name="auxiliary_conv"
    )
    x = KeyedDropout(DROPOUT, name="auxiliary_dropout")(x)
    x = class_scores(x, model_config, name="auxiliary_logits")
    upsample = Upsample(
        _stride(model, features),
        str(model_config.upsampling),
        dtype="float32",
        name="auxiliary_upsample",
    )
    return keras.Model(model.input, [model.output, upsample([x, model.input])], name=model.name)


def without_auxiliary(network: keras.Model) -> keras.Model:
    """Returns the network from an image to one map of logits, of the same layers.

    A `network` without the auxiliary head is returned as it is.
    """
    if len(network.outputs) == 1:
        return network
    return keras.Model(network.input, network.outputs[0], name=network.name)


def only_auxiliary(network: keras.Model) -> keras.Model:
    """Returns the network from an image to the logits of the auxiliary head, of the same layers."""
    return keras.Model(network.input, network.outputs[1], name="auxiliary")


def auxiliary_input(network: keras.Model) -> keras.KerasTensor | None:
    """Returns the map of the backbone that the auxiliary head reads; None without the head."""
    if len(network.outputs) == 1:
        return None
    return network.get_layer("auxiliary_conv").input


def auxiliary_weights(network: keras.Model) -> list[keras.Variable]:
    """Lists the weights of the auxiliary head in their order; none without the head."""
    return [
        weight
        for layer in network.layers
        if layer.name.startswith("auxiliary_")
        for weight in layer.weights
    ]


def _stride(model: keras.Model, features: keras.KerasTensor) -> int:
    """Returns the stride of the map `features` of `model` in pixels of the image."""
    spec = keras.KerasTensor((1, _SIDE, _SIDE, model.input.shape[-1]), model.input.dtype)
    found = keras.Function(model.input, features).compute_output_spec(spec)
    return _SIDE // found.shape[1]
