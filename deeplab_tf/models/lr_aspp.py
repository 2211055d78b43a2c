"""LR-ASPP, the light head of MobileNetV3's paper (arXiv 1905.02244, section 6.4)."""

import keras

from deeplab_tf.config import ModelConfig
from deeplab_tf.models.backbone_maps import Maps
from deeplab_tf.models.conv import AtrousConv2D
from deeplab_tf.models.conv_bn import ConvBN, class_scores
from deeplab_tf.models.resize import Upsample

LOW_STRIDE = 8
"""The stride of the logits; at output_stride 4 it is 4."""


def lr_aspp(maps: Maps, model_config: ModelConfig, filters: int) -> keras.KerasTensor:
    """Maps a backbone's maps to logits [B, h, w, num_classes] of the size of `maps.stride_8`.

    The last map goes through the 1x1 block `lr_aspp_conv` of `filters`, and each channel is
    multiplied by the sigmoid of the 1x1 convolution `lr_aspp_gate`, without bias, of the mean of
    the last map. The product, upsampled, and the map of stride 8 give class scores, which are
    added. The paper takes means of 49x49 samples instead, which depend on the image's size.
    """
    x = ConvBN(model_config)(maps.last, filters, 1, name="lr_aspp_conv")
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True, name="lr_aspp_mean")(maps.last)
    gate = AtrousConv2D(
        filters, 1, use_bias=False, kernel_initializer="he_normal", name="lr_aspp_gate"
    )(gate)
    gate = keras.layers.Activation("sigmoid", name="lr_aspp_gate_sigmoid")(gate)
    x = keras.layers.Multiply(name="lr_aspp_gated")([x, gate])
    ratio = model_config.output_stride // min(LOW_STRIDE, model_config.output_stride)
    x = Upsample(ratio, str(model_config.upsampling), name="lr_aspp_upsample")([x, maps.stride_8])
    high = class_scores(x, model_config, name="logits_high")
    low = class_scores(maps.stride_8, model_config, name="logits_low")
    return keras.layers.Add(dtype="float32", name="logits")([low, high])
