"""Atrous Spatial Pyramid Pooling, DeepLabv3's (section 3.3, figure 5) and DeepLabv2's."""

import keras
from keras import ops

from deeplab_tf.config import ModelConfig
from deeplab_tf.models.conv_bn import ConvBN, class_scores

RATES_AT = 16
"""The output_stride that `ModelConfig.aspp_rates` is given for; the rates double at 8."""


@keras.saving.register_keras_serializable("deeplab_tf")
class BroadcastLike(keras.layers.Layer):
    """The layer that spreads one pixel over the map of a second input, as bilinear upsampling."""

    def call(self, inputs):
        """Maps a pixel [B, 1, 1, C] and a map [B, H, W, D] to [B, H, W, C]."""
        pixel, like = inputs
        shape = ops.shape(like)
        return ops.broadcast_to(pixel, (shape[0], shape[1], shape[2], pixel.shape[-1]))

    def compute_output_shape(self, input_shape):
        """Returns the shape of the second input with the channels of the first."""
        pixel, like = input_shape
        return (*like[:3], pixel[-1])


def effective_rates(model_config: ModelConfig) -> list[int]:
    """Lists the rates of the atrous branches at the model's own output_stride, each at least 1."""
    return [
        max(1, rate * RATES_AT // model_config.output_stride) for rate in model_config.aspp_rates
    ]


def aspp(x: keras.KerasTensor, model_config: ModelConfig, filters: int) -> keras.KerasTensor:
    """Maps [B, h, w, C] to [B, h, w, filters] by DeepLabv3's ASPP (section 3.3).

    Branches `aspp_conv1` (1x1), `aspp_atrous1`, ... (3x3) and `aspp_pool`, the image-level features
    over the *whole* map, are concatenated in that order and mixed by the 1x1 `aspp_project`.
    """
    conv_bn = ConvBN(model_config)
    branches = [conv_bn(x, filters, 1, name="aspp_conv1")]
    atrous = conv_bn.separable if model_config.separable else conv_bn
    for index, rate in enumerate(effective_rates(model_config), start=1):
        branches.append(atrous(x, filters, 3, name=f"aspp_atrous{index}", rate=rate))
    if model_config.image_pooling:
        pooled = keras.layers.GlobalAveragePooling2D(keepdims=True, name="aspp_pool_mean")(x)
        pooled = conv_bn(pooled, filters, 1, name="aspp_pool")
        branches.append(BroadcastLike(name="aspp_pool_broadcast")([pooled, x]))
    x = keras.layers.Concatenate(name="aspp_concat")(branches)
    return conv_bn(x, filters, 1, name="aspp_project")


def aspp_v2(x: keras.KerasTensor, model_config: ModelConfig) -> keras.KerasTensor:
    """Maps [B, h, w, C] to logits [B, h, w, num_classes] by DeepLabv2's head.

    DeepLabv2 is arXiv 1606.00915, section 3.2. Atrous 3x3 convolutions `aspp_atrous1`, ... make
    class scores directly, and the scores are summed: no batch norm, no 1x1 branch, no image-level
    features. DeepLabv2's rates are (6, 12, 18, 24) at output_stride 8, which is
    `aspp_rates=(3, 6, 9, 12)`.
    """
    branches = [
        class_scores(x, model_config, name=f"aspp_atrous{index}", kernel_size=3, rate=rate)
        for index, rate in enumerate(effective_rates(model_config), start=1)
    ]
    return keras.layers.Add(dtype="float32", name="logits")(branches)
