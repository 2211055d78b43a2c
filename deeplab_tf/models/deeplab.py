"""The networks DeepLabv3 and DeepLabv3+, from pixels to logits at the image's size."""

import dataclasses

import keras

from deeplab_tf.config import Backbone, Head, ModelConfig
from deeplab_tf.config.resnet_plan import SPECS
from deeplab_tf.models.aspp import aspp, aspp_v2
from deeplab_tf.models.backbone_maps import Maps
from deeplab_tf.models.conv_bn import ConvBN, class_scores
from deeplab_tf.models.decoder import STRIDE as DECODER_STRIDE
from deeplab_tf.models.decoder import decoder
from deeplab_tf.models.dropout import KeyedDropout
from deeplab_tf.models.lr_aspp import LOW_STRIDE, lr_aspp
from deeplab_tf.models.mobilenet_v2 import mobilenet_v2
from deeplab_tf.models.mobilenet_v3 import mobilenet_v3_large
from deeplab_tf.models.resize import Upsample
from deeplab_tf.models.resnet import resnet

HEAD_FILTERS = 256
"""Filters of every convolution of ASPP (section 3.3) and decoder; LR-ASPP has half. A narrower
ResNet has fewer in proportion."""


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
    image, maps = _image_and_maps(model_config)
    x, stride = _head(maps, model_config)
    logits = Upsample(stride, str(model_config.upsampling), dtype="float32", name="upsample")(
        [x, image]
    )
    return keras.Model(image, logits, name="deeplabv3")


def build_backbone(model_config: ModelConfig) -> keras.Model:
    """Builds the network of `build_model` without the head, with random initial weights.

    The model maps `image`, pixels [B, H, W, bands], to the features [B, h, w, C] of the backbone.
    """
    image, maps = _image_and_maps(model_config)
    return keras.Model(image, maps.last, name=str(model_config.backbone))


def _image_and_maps(model_config: ModelConfig) -> tuple[keras.KerasTensor, Maps]:
    """Makes the input, [B, H, W, bands], and the backbone's maps."""
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
    mobilenets = {
        Backbone.MOBILENET_V2: mobilenet_v2,
        Backbone.MOBILENET_V3_LARGE: mobilenet_v3_large,
    }
    return image, mobilenets.get(model_config.backbone, resnet)(x, model_config)


def _head(maps: Maps, model_config: ModelConfig) -> tuple[keras.KerasTensor, int]:
    """Returns logits [B, h, w, num_classes], and their stride in pixels."""
    stride, filters, x = model_config.output_stride, HEAD_FILTERS, maps.last
    if model_config.backbone in SPECS:
        # A slim network's head is as slim as its backbone.
        filters = filters * SPECS[model_config.backbone].width // 64
    if model_config.head is Head.ASPP_V2:
        return aspp_v2(x, model_config), stride
    if model_config.head is Head.LR_ASPP:
        return lr_aspp(maps, model_config, filters // 2), min(LOW_STRIDE, stride)
    if model_config.head is Head.ASPP:
        x = aspp(x, model_config, filters)
        if model_config.aspp_dropout:
            x = KeyedDropout(model_config.aspp_dropout, name="aspp_dropout")(x)
    if model_config.head_conv:
        conv_bn = ConvBN(model_config)
        apply = conv_bn.separable if model_config.separable else conv_bn
        x = apply(x, filters, 3, name="head_conv")
    if model_config.decoder_kernels:
        x, stride = decoder(x, maps.stride_4, model_config, filters), DECODER_STRIDE
    return class_scores(x, model_config, name="logits"), stride


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
