"""The DeepLabv3 network, from pixels to logits at the image's size."""

import dataclasses

import keras

from deeplab_tf.config import Backbone, Head, ModelConfig
from deeplab_tf.config.resnet_plan import SPECS
from deeplab_tf.models.aspp import aspp, aspp_v2
from deeplab_tf.models.conv_bn import ConvBN, class_scores
from deeplab_tf.models.dropout import KeyedDropout
from deeplab_tf.models.mobilenet_v2 import mobilenet_v2
from deeplab_tf.models.resize import UpsampleLogits
from deeplab_tf.models.resnet import resnet

HEAD_FILTERS = 256
"""Filters of every ASPP convolution (section 3.3); a narrower ResNet has fewer in proportion."""


def build_model(model_config: ModelConfig) -> keras.Model:
    """Builds the network that `model_config` describes, with random initial weights.

    The model maps `image`, RGB pixels [B, H, W, 3] in 0..255 (or the data set's own bands), integer
    or float, any H and W, to logits [B, H, W, num_classes] float32. Normalisation is inside. No
    weight depends on `output_stride`; `with_output_stride` moves the weights to another one.

    Raises:
        ValueError: `model_config.num_classes` is None; the caller sets it from the data set. Or
            `model_config.like` names a file that the caller has still to read.
    """
    if model_config.like is not None:
        raise ValueError(f"like={model_config.like} must be resolved before the model is built")
    if model_config.num_classes is None:
        raise ValueError(
            "num_classes must be set before the model is built. Received: None. "
            "Use dataclasses.replace(model_config, num_classes=...)."
        )
    image, features = _image_and_features(model_config)
    x = _head(features, model_config)
    logits = UpsampleLogits(
        model_config.output_stride, str(model_config.upsampling), dtype="float32", name="upsample"
    )([x, image])
    return keras.Model(image, logits, name="deeplabv3")


def build_backbone(model_config: ModelConfig) -> keras.Model:
    """Builds the network of `build_model` without the head, with random initial weights.

    The model maps `image`, pixels [B, H, W, bands], to the features [B, h, w, C] of the backbone.
    """
    image, features = _image_and_features(model_config)
    return keras.Model(image, features, name=str(model_config.backbone))


def _image_and_features(model_config: ModelConfig) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Makes the input, [B, H, W, bands], and the backbone's last feature map, [B, h, w, C]."""
    image_format = model_config.input_format
    image: keras.KerasTensor = keras.Input(  # pyright: ignore[reportAssignmentType]
        (None, None, image_format.bands), name="image"
    )
    x = keras.layers.Rescaling(
        scale=[1 / std for std in image_format.std],
        # Rescaling takes one number a channel, as it documents; its annotation says one for all.
        offset=[  # pyright: ignore[reportArgumentType]
            -mean / std for mean, std in zip(image_format.mean, image_format.std, strict=True)
        ],
        # Pixels minus their mean keep their last digit only in float32.
        dtype="float32",
        name="normalize",
    )(image)
    backbone = mobilenet_v2 if model_config.backbone is Backbone.MOBILENET_V2 else resnet
    return image, backbone(x, model_config)


def _head(x: keras.KerasTensor, model_config: ModelConfig) -> keras.KerasTensor:
    """Maps features [B, h, w, C] to logits [B, h, w, num_classes] of the same size."""
    if model_config.head is Head.ASPP_V2:
        return aspp_v2(x, model_config)
    filters = HEAD_FILTERS
    if model_config.backbone in SPECS:
        # A slim network's head is as slim as its backbone.
        filters = filters * SPECS[model_config.backbone].width // 64
    if model_config.head is Head.ASPP:
        x = aspp(x, model_config, filters)
        if model_config.aspp_dropout:
            x = KeyedDropout(model_config.aspp_dropout, name="aspp_dropout")(x)
    if model_config.head_conv:
        x = ConvBN(model_config)(x, filters, 3, name="head_conv")
    return class_scores(x, model_config, name="logits")


def with_output_stride(
    model: keras.Model, model_config: ModelConfig, output_stride: int
) -> keras.Model:
    """Returns a network of another `output_stride` with the weights of `model`.

    Section 4.1 trains at output_stride 16 and evaluates at 8. Where `model` itself, which
    `model_config` describes, has that `output_stride`, the function returns `model`.
    """
    if output_stride == model_config.output_stride:
        return model
    other = build_model(dataclasses.replace(model_config, output_stride=output_stride))
    other.set_weights(model.get_weights())
    return other
