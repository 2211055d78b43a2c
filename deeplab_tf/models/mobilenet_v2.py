"""Atrous MobileNetV2 (arXiv 1801.04381), the backbone of DeepLab's released mobile models."""

import dataclasses
from collections.abc import Sequence

import keras

from deeplab_tf.config import ModelConfig
from deeplab_tf.config.atrous_plan import place_strides
from deeplab_tf.models.backbone_maps import Maps, run_units
from deeplab_tf.models.conv_bn import ConvBN

ROOT_STRIDE = 2
"""The stride of conv1."""

EPSILON = 1e-3
"""The epsilon of the batch norms here, as in TF-Slim and Keras. Many depthwise channels vary so
little that 1e-5 would amplify them much more."""


@dataclasses.dataclass(frozen=True)
class BlockSpec:
    """A row of the paper's Table 2.

    Attributes:
        expansion: the expansion factor, t in the table.
        channels: output channels at width 1, c in the table.
        units: how many units the block has, n in the table.
        stride: the stride of the first unit, s in the table.
    """

    expansion: int
    channels: int
    units: int
    stride: int


ROOT_CHANNELS = 32
BLOCKS = (
    BlockSpec(1, 16, 1, 1),
    BlockSpec(6, 24, 2, 2),
    BlockSpec(6, 32, 3, 2),
    BlockSpec(6, 64, 4, 2),
    BlockSpec(6, 96, 3, 1),
    BlockSpec(6, 160, 3, 2),
    BlockSpec(6, 320, 1, 1),
)
CHANNELS = tuple(block.channels for block in BLOCKS)


@dataclasses.dataclass(frozen=True)
class MobileNetUnit:
    """One inverted residual unit.

    Attributes:
        name: the name of the unit, for example `block1_unit1`.
        expansion: the factor by which the 1x1 convolution at the start multiplies the channels.
        channels: output channels.
        stride: the stride of the depthwise convolution.
        rate: the atrous rate of the depthwise convolution.
        first: whether the unit is the first of its block and has no shortcut.
        leaves_stride_4: see `atrous_plan.Placed`.
    """

    name: str
    expansion: int
    channels: int
    stride: int
    rate: int
    first: bool
    leaves_stride_4: bool


def scaled_channels(channels: int, width_multiplier: float, divisor: int) -> int:
    """Returns `channels * width_multiplier` as a multiple of `divisor`, at least `divisor`.

    Rounding never takes more than a tenth away, as in TF-Slim and Keras.
    """
    scaled = channels * width_multiplier
    rounded = max(divisor, int(scaled + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * scaled else rounded + divisor


def width_of(channels: Sequence[int], whole: Sequence[int] = CHANNELS) -> tuple[float, int] | None:
    """Returns the width multiplier and divisor that make `channels` of `whole`, those at width 1.

    Returns None where no width multiplier and divisor do.
    """
    width = channels[-1] / whole[-1] if channels else 0.0
    for divisor in (8, 1):
        if [*channels] == [scaled_channels(one, width, divisor) for one in whole]:
            return width, divisor
    return None


def plan_units(model_config: ModelConfig) -> list[MobileNetUnit]:
    """Lists the units, with strides turned into atrous rates once `output_stride` is reached."""
    units = [
        (f"block{number}_unit{unit}", block, unit == 1)
        for number, block in enumerate(BLOCKS, start=1)
        for unit in range(1, block.units + 1)
    ]
    strides = [block.stride if first else 1 for _, block, first in units]
    places = place_strides(strides, ROOT_STRIDE, model_config)
    width, divisor = model_config.width_multiplier, model_config.channel_divisor
    return [
        MobileNetUnit(
            name,
            block.expansion,
            scaled_channels(block.channels, width, divisor),
            place.stride,
            place.rate_before,
            first,
            place.leaves_stride_4,
        )
        for (name, block, first), place in zip(units, places, strict=True)
    ]


def mobilenet_v2(x: keras.KerasTensor, model_config: ModelConfig) -> Maps:
    """Maps normalised pixels [B, H, W, bands] to the maps of the backbone.

    The last map is [B, ceil(H / output_stride), ceil(W / output_stride), C]; C is 320 at width 1.
    Sample i of the result lies on pixel i * output_stride. The classifier's last convolution to
    1280 channels is left out, as in DeepLab's models.
    """
    root = scaled_channels(
        ROOT_CHANNELS, model_config.width_multiplier, model_config.channel_divisor
    )
    conv_bn = ConvBN(model_config, epsilon=EPSILON, activation="relu6")
    x = conv_bn(x, root, 3, name="conv1", stride=2)
    zero_init = model_config.zero_init_residual
    return run_units(
        x, plan_units(model_config), lambda x, plan: _inverted_residual(x, plan, conv_bn, zero_init)
    )


def _inverted_residual(
    x: keras.KerasTensor, plan: MobileNetUnit, conv_bn: ConvBN, zero_init: bool
) -> keras.KerasTensor:
    """Applies a 1x1 expansion, a 3x3 depthwise convolution (stride and rate) and a linear 1x1.

    The input is added to the result, except in the first unit of a block, which changes the
    channels.
    """
    name, y = plan.name, x
    if plan.expansion > 1:
        y = conv_bn(x, x.shape[-1] * plan.expansion, 1, name=f"{name}_expand")
    y = conv_bn.depthwise(y, 3, name=f"{name}_depthwise", stride=plan.stride, rate=plan.rate)
    zero_init = zero_init and not plan.first
    y = conv_bn.linear(y, plan.channels, name=f"{name}_project", zero_init=zero_init)
    return y if plan.first else keras.layers.Add(name=f"{name}_add")([x, y])
