"""Atrous MobileNetV3-Large (arXiv 1905.02244), without the classifier's last layers."""

import dataclasses

import keras

from deeplab_tf.config import ModelConfig
from deeplab_tf.config.atrous_plan import place_strides
from deeplab_tf.models.backbone_maps import Maps, run_units
from deeplab_tf.models.conv_bn import Activation, ConvBN
from deeplab_tf.models.mobilenet_v2 import EPSILON, ROOT_STRIDE, scaled_channels
from deeplab_tf.models.squeeze_excitation import squeeze_excitation


@dataclasses.dataclass(frozen=True)
class UnitSpec:
    """A row of the paper's Table 1.

    Attributes:
        kernel_size: the side of the depthwise kernel.
        expanded: channels of the depthwise convolution at width 1, "exp size" in the table.
        channels: output channels at width 1, "#out" in the table.
        squeezes: whether the unit has squeeze and excitation, "SE" in the table.
        activation: ReLU or hard swish, "NL" in the table.
        stride: the stride of the depthwise convolution, "s" in the table.
    """

    kernel_size: int
    expanded: int
    channels: int
    squeezes: bool
    activation: Activation
    stride: int


ROOT_CHANNELS = 16
BLOCKS = (
    (UnitSpec(3, 16, 16, False, "relu", 1),),
    (UnitSpec(3, 64, 24, False, "relu", 2), UnitSpec(3, 72, 24, False, "relu", 1)),
    (
        UnitSpec(5, 72, 40, True, "relu", 2),
        UnitSpec(5, 120, 40, True, "relu", 1),
        UnitSpec(5, 120, 40, True, "relu", 1),
    ),
    (
        UnitSpec(3, 240, 80, False, "hard_swish", 2),
        UnitSpec(3, 200, 80, False, "hard_swish", 1),
        UnitSpec(3, 184, 80, False, "hard_swish", 1),
        UnitSpec(3, 184, 80, False, "hard_swish", 1),
    ),
    (UnitSpec(3, 480, 112, True, "hard_swish", 1), UnitSpec(3, 672, 112, True, "hard_swish", 1)),
    (
        UnitSpec(5, 672, 160, True, "hard_swish", 2),
        UnitSpec(5, 960, 160, True, "hard_swish", 1),
        UnitSpec(5, 960, 160, True, "hard_swish", 1),
    ),
)
"""The units with equal output channels are one block."""

CHANNELS = (ROOT_CHANNELS, *(block[0].channels for block in BLOCKS))
LAST_EXPANSION = 6
"""The last convolution has this many times the channels of its input, 960 at width 1."""


@dataclasses.dataclass(frozen=True)
class MobileNetV3Unit:
    """One inverted residual unit.

    Attributes:
        name: the name of the unit, for example `block1_unit1`.
        spec: the unit at width 1.
        expanded, squeezed, channels: channels of the depthwise convolution, of the squeeze (0 where
            there is none) and of the output.
        stride, rate: those of the depthwise convolution.
        expands: whether a 1x1 convolution makes the expanded channels.
        adds: whether the input is added to the output.
        leaves_stride_4: see `atrous_plan.Placed`.
    """

    name: str
    spec: UnitSpec
    expanded: int
    squeezed: int
    channels: int
    stride: int
    rate: int
    expands: bool
    adds: bool
    leaves_stride_4: bool


def plan_units(model_config: ModelConfig) -> list[MobileNetV3Unit]:
    """Lists the units, with strides turned into atrous rates once `output_stride` is reached."""
    specs = [
        (f"block{number}_unit{unit}", spec)
        for number, block in enumerate(BLOCKS, start=1)
        for unit, spec in enumerate(block, start=1)
    ]
    places = place_strides([spec.stride for _, spec in specs], ROOT_STRIDE, model_config)
    width, divisor = model_config.width_multiplier, model_config.channel_divisor
    units, before = [], scaled_channels(ROOT_CHANNELS, width, divisor)
    for (name, spec), place in zip(specs, places, strict=True):
        expanded = scaled_channels(spec.expanded, width, divisor)
        channels = scaled_channels(spec.channels, width, divisor)
        units.append(
            MobileNetV3Unit(
                name,
                spec,
                expanded,
                # A quarter of the expanded channels, in multiples of 8 at any width.
                scaled_channels(expanded // 4, 1.0, 8) if spec.squeezes else 0,
                channels,
                place.stride,
                place.rate_before,
                expands=expanded != before,
                adds=spec.stride == 1 and channels == before,
                leaves_stride_4=place.leaves_stride_4,
            )
        )
        before = channels
    return units


def mobilenet_v3_large(x: keras.KerasTensor, model_config: ModelConfig) -> Maps:
    """Maps normalised pixels [B, H, W, bands] to the maps of the backbone.

    The last map is [B, ceil(H / output_stride), ceil(W / output_stride), C]; C is 960 at width 1.
    Sample i of the result lies on pixel i * output_stride. The last map is that of the 1x1
    convolution before the classifier's pooling, `block7_unit1_expand`.
    """
    blocks: dict[Activation, ConvBN] = {
        activation: ConvBN(model_config, epsilon=EPSILON, activation=activation)
        for activation in ("relu", "hard_swish")
    }
    hard_swish, zero_init = blocks["hard_swish"], model_config.zero_init_residual
    width, divisor = model_config.width_multiplier, model_config.channel_divisor
    x = hard_swish(x, scaled_channels(ROOT_CHANNELS, width, divisor), 3, name="conv1", stride=2)
    maps = run_units(
        x,
        plan_units(model_config),
        lambda x, plan: _inverted_residual(x, plan, blocks[plan.spec.activation], zero_init),
    )
    filters = LAST_EXPANSION * maps.last.shape[-1]
    return maps._replace(last=hard_swish(maps.last, filters, 1, name="block7_unit1_expand"))


def _inverted_residual(
    x: keras.KerasTensor, plan: MobileNetV3Unit, conv_bn: ConvBN, zero_init: bool
) -> keras.KerasTensor:
    """Applies a 1x1 expansion, a depthwise convolution, squeeze-and-excitation, a linear 1x1."""
    name, y = plan.name, x
    if plan.expands:
        y = conv_bn(x, plan.expanded, 1, name=f"{name}_expand")
    y = conv_bn.depthwise(
        y, plan.spec.kernel_size, name=f"{name}_depthwise", stride=plan.stride, rate=plan.rate
    )
    if plan.squeezed:
        y = squeeze_excitation(y, plan.squeezed, name=name)
    zero_init = zero_init and plan.adds
    y = conv_bn.linear(y, plan.channels, name=f"{name}_project", zero_init=zero_init)
    return keras.layers.Add(name=f"{name}_add")([x, y]) if plan.adds else y
