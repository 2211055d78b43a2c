"""Atrous ResNet with cascaded modules block5 to block7 and multi-grid (section 3.2, figure 3)."""

import keras

from deeplab_tf.config import ModelConfig
from deeplab_tf.config.resnet_plan import SPECS, ResNetUnit, plan_units
from deeplab_tf.models.backbone_maps import Maps, run_units
from deeplab_tf.models.conv_bn import ConvBN


def resnet(x: keras.KerasTensor, model_config: ModelConfig) -> Maps:
    """Maps normalised pixels [B, H, W, bands] to the maps of the backbone.

    The last map is [B, ceil(H / output_stride), ceil(W / output_stride), C]; C is 2048 for
    ResNet-50 and ResNet-101. Sample i of the result lies on pixel i * output_stride.
    """
    width, conv_bn = SPECS[model_config.backbone].width, ConvBN(model_config)
    if model_config.deep_root:
        x = conv_bn(x, width, 3, name="conv1_1", stride=2)
        x = conv_bn(x, width, 3, name="conv1_2")
        x = conv_bn(x, 2 * width, 3, name="conv1_3")
    else:
        x = conv_bn(x, width, 7, name="conv1", stride=2)
    # The ReLU before leaves nothing below zero, so zeros around the map change no maximum.
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = keras.layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    zero_init = model_config.zero_init_residual
    return run_units(
        x, plan_units(model_config), lambda x, plan: _bottleneck(x, plan, conv_bn, zero_init)
    )


def _bottleneck(
    x: keras.KerasTensor, plan: ResNetUnit, conv_bn: ConvBN, zero_init: bool
) -> keras.KerasTensor:
    """Applies 1x1, 3x3 (with the rate) and 1x1 convolutions and adds the shortcut.

    The first 1x1 or the 3x3 has the stride; the last 1x1 has four times the filters of the others.
    """
    name, out = plan.name, 4 * plan.filters
    if plan.projects:
        shortcut = conv_bn.linear(x, out, name=f"{name}_shortcut", stride=plan.stride)
    elif plan.stride > 1:
        shortcut = keras.layers.MaxPooling2D(1, strides=plan.stride, name=f"{name}_shortcut")(x)
    else:
        shortcut = x
    y = conv_bn(x, plan.filters, 1, name=f"{name}_conv1", stride=plan.strides[0])
    y = conv_bn(y, plan.filters, 3, name=f"{name}_conv2", stride=plan.strides[1], rate=plan.rate)
    y = conv_bn.linear(y, out, name=f"{name}_conv3", zero_init=zero_init)
    y = keras.layers.Add(name=f"{name}_add")([shortcut, y])
    return keras.layers.ReLU(name=f"{name}_relu")(y)
