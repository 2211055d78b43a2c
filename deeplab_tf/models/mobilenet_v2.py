"""Atrous MobileNetV2 (arXiv 1801.04381), the backbone of DeepLab's released mobile models."""

import dataclasses
from collections.abc import Sequence

import keras

from deeplab_tf.config import ModelConfig
from deeplab_tf.models.conv import conv_bn

ROOT_STRIDE = 2
"""conv1's."""

EPSILON = 1e-3
"""Of the batch norms here: TF-Slim's and Keras'. Many depthwise channels vary little, so that
1e-5 would let them through much louder."""


@dataclasses.dataclass(frozen=True)
class BlockSpec:
    """A row of the paper's Table 2: the expansion t, channels c, units n, stride s of the first."""

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


@dataclasses.dataclass(frozen=True)
class MobileNetUnit:
    """One inverted residual; stride and rate are its depthwise convolution's."""

    name: str
    expansion: int
    channels: int
    stride: int
    rate: int
    first: bool


def scaled_channels(channels: int, width_multiplier: float, divisor: int) -> int:
    """`channels * width_multiplier`, rounded to a multiple of `divisor` and at least that.

    Rounding never takes more than a tenth away, as in TF-Slim and Keras.
    """
    scaled = channels * width_multiplier
    rounded = max(divisor, int(scaled + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * scaled else rounded + divisor


def width_of(channels: Sequence[int]) -> tuple[float, int] | None:
    """The width multiplier and divisor that give the seven blocks these channels, if any do."""
    width = channels[-1] / BLOCKS[-1].channels if channels else 0.0
    for divisor in (8, 1):
        if [*channels] == [scaled_channels(block.channels, width, divisor) for block in BLOCKS]:
            return width, divisor
    return None


def plan_units(config: ModelConfig) -> list[MobileNetUnit]:
    """Turns strides into atrous rates once `output_stride` is reached, as in the ResNets.

    A unit whose stride is dropped still has the rate before it; the units after it have the rate
    multiplied by that stride, unless `config.atrous` is off.
    """
    plans, reached, rate = [], ROOT_STRIDE, 1
    for number, block in enumerate(BLOCKS, start=1):
        channels = scaled_channels(block.channels, config.width_multiplier, config.channel_divisor)
        for unit in range(1, block.units + 1):
            stride = block.stride if unit == 1 else 1
            dropped = 1
            if reached >= config.output_stride:
                stride, dropped = 1, stride
            name = f"block{number}_unit{unit}"
            plans.append(
                MobileNetUnit(name, block.expansion, channels, stride, rate, first=unit == 1)
            )
            reached *= stride
            if config.atrous:
                rate *= dropped
    return plans


def mobilenet_v2(x: keras.KerasTensor, config: ModelConfig) -> keras.KerasTensor:
    """[B, H, W, 3], normalised -> [B, ceil(H / output_stride), ceil(W / output_stride), C].

    C is 320 at width 1. Sample i of the result lies on pixel i * output_stride. The classifier's
    last convolution to 1280 channels is left out, as in DeepLab's.
    """
    root = scaled_channels(ROOT_CHANNELS, config.width_multiplier, config.channel_divisor)
    x = conv_bn(
        x, root, 3, name="conv1", config=config, stride=2, activation="relu6", epsilon=EPSILON
    )
    for plan in plan_units(config):
        x = _inverted_residual(x, plan, config)
    return x


def _inverted_residual(
    x: keras.KerasTensor, plan: MobileNetUnit, config: ModelConfig
) -> keras.KerasTensor:
    """1x1 expansion, 3x3 depthwise (stride and rate), linear 1x1; added to its input but in the
    first unit of a block, which changes the channels."""
    name, wide = plan.name, x.shape[-1] * plan.expansion
    y = x
    if plan.expansion > 1:
        y = conv_bn(
            y,
            wide,
            1,
            name=f"{name}_expand",
            config=config,
            activation="relu6",
            epsilon=EPSILON,
        )
    y = conv_bn(
        y,
        wide,
        3,
        name=f"{name}_depthwise",
        config=config,
        stride=plan.stride,
        rate=plan.rate,
        activation="relu6",
        epsilon=EPSILON,
        depthwise=True,
    )
    y = conv_bn(
        y,
        plan.channels,
        1,
        name=f"{name}_project",
        config=config,
        activation=None,
        epsilon=EPSILON,
        gamma_initializer="zeros" if config.zero_init_residual and not plan.first else "ones",
    )
    return y if plan.first else keras.layers.Add(name=f"{name}_add")([x, y])
