"""The DeepLabv3 network, from pixels to logits at the image's size."""

import dataclasses

import keras

from deeplab_tf.config import Backbone, Head, ModelConfig, pixel_statistics
from deeplab_tf.config.resnet_plan import SPECS
from deeplab_tf.models.aspp import aspp, aspp_v2
from deeplab_tf.models.conv_bn import ConvBN, class_scores
from deeplab_tf.models.mobilenet_v2 import mobilenet_v2
from deeplab_tf.models.resize import UpsampleLogits
from deeplab_tf.models.resnet import resnet

HEAD_FILTERS = 256
"""Filters of every ASPP convolution (section 3.3); a narrower ResNet has fewer in proportion."""


def build_model(config: ModelConfig) -> keras.Model:
    """Builds the network that `config` describes, with random initial weights.

    The model maps `image`, RGB pixels [B, H, W, 3] in 0..255 (or the data set's own bands), integer
    or float, any H and W, to logits [B, H, W, num_classes] float32. Normalisation is inside. No
    weight depends on `output_stride`; `with_output_stride` moves the weights to another one.

    Raises:
        ValueError: `config.num_classes` is None; the caller sets it from the data set.
    """
    if config.num_classes is None:
        raise ValueError(
            "num_classes must be set before the model is built. Received: None. "
            "Use dataclasses.replace(config, num_classes=...)."
        )
    image, features = _image_and_features(config)
    x = _head(features, config)
    logits = UpsampleLogits(
        config.output_stride, str(config.upsampling), dtype="float32", name="upsample"
    )([x, image])
    return keras.Model(image, logits, name="deeplabv3")


def build_backbone(config: ModelConfig) -> keras.Model:
    """Builds the network of `build_model` without the head, with random initial weights.

    The model maps `image`, pixels [B, H, W, bands], to the features [B, h, w, C] of the backbone.
    """
    image, features = _image_and_features(config)
    return keras.Model(image, features, name=str(config.backbone))


def _image_and_features(config: ModelConfig) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Makes the input, [B, H, W, bands], and the backbone's last feature map, [B, h, w, C]."""
    pixels = pixel_statistics(config)
    image: keras.KerasTensor = keras.Input(  # pyright: ignore[reportAssignmentType]
        (None, None, len(pixels.mean)), name="image"
    )
    x = keras.layers.Rescaling(
        scale=[1 / std for std in pixels.std],
        # Rescaling takes one number a channel, as it documents; its annotation says one for all.
        offset=[  # pyright: ignore[reportArgumentType]
            -mean / std for mean, std in zip(pixels.mean, pixels.std, strict=True)
        ],
        # Pixels minus their mean keep their last digit only in float32.
        dtype="float32",
        name="normalize",
    )(image)
    backbone = mobilenet_v2 if config.backbone is Backbone.MOBILENET_V2 else resnet
    return image, backbone(x, config)


def _head(x: keras.KerasTensor, config: ModelConfig) -> keras.KerasTensor:
    """Maps features [B, h, w, C] to logits [B, h, w, num_classes] of the same size."""
    if config.head is Head.ASPP_V2:
        return aspp_v2(x, config)
    filters = HEAD_FILTERS
    if config.backbone in SPECS:
        # A slim network's head is as slim as its backbone.
        filters = filters * SPECS[config.backbone].width // 64
    if config.head is Head.ASPP:
        x = aspp(x, config, filters)
        if config.aspp_dropout:
            x = keras.layers.Dropout(config.aspp_dropout, name="aspp_dropout")(x)
    if config.head_conv:
        x = ConvBN(config)(x, filters, 3, name="head_conv")
    return class_scores(x, config, name="logits")


def with_output_stride(model: keras.Model, config: ModelConfig, output_stride: int) -> keras.Model:
    """Returns a network of another `output_stride` with the weights of `model`, which has `config`.

    Section 4.1 trains at output_stride 16 and evaluates at 8. Where `output_stride` is the config's
    own, `model` itself is returned.
    """
    if output_stride == config.output_stride:
        return model
    other = build_model(dataclasses.replace(config, output_stride=output_stride))
    other.set_weights(model.get_weights())
    return other
