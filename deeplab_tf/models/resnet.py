"""Atrous ResNet (sections 3.1 and 3.2): output_stride 4 to 32, multi-grid in block4."""

import dataclasses

import keras

from deeplab_tf.config import Backbone, ModelConfig, StridePlacement
from deeplab_tf.models.conv import conv_bn

ROOT_STRIDE = 4
"""conv1 and the max pooling, each stride 2 (figure 3)."""


@dataclasses.dataclass(frozen=True)
class ResNetSpec:
    """`units[i]` bottleneck units in block i + 1; conv1 has `width` filters."""

    units: tuple[int, int, int, int]
    width: int


SPECS = {
    Backbone.RESNET50: ResNetSpec((3, 4, 6, 3), 64),
    Backbone.RESNET101: ResNetSpec((3, 4, 23, 3), 64),
    Backbone.RESNET_SLIM: ResNetSpec((1, 1, 2, 3), 16),
}


@dataclasses.dataclass(frozen=True)
class UnitPlan:
    """One bottleneck unit: its name, the width of its 3x3, that convolution's stride and rate."""

    name: str
    filters: int
    stride: int
    rate: int
    projects: bool


def plan_units(config: ModelConfig) -> list[UnitPlan]:
    """Turns strides into atrous rates once `output_stride` is reached (figure 3).

    A unit whose stride is dropped still has the rate before it; the units after it have the rate
    multiplied by that stride. Block4's rates are multiplied by the multi-grid's unit rates.
    """
    spec = SPECS[config.backbone]
    # The paper strides at the end of block1 to 3, others at the head of block2 to 4.
    at_end = config.stride_placement is StridePlacement.LAST_UNIT
    striding_blocks = (1, 2, 3) if at_end else (2, 3, 4)
    plans, reached, rate = [], ROOT_STRIDE, 1
    for block, count in enumerate(spec.units, start=1):
        unit_rates = config.multi_grid if block == 4 else (1,) * count
        striding_unit = (count if at_end else 1) if block in striding_blocks else None
        for unit, unit_rate in zip(range(1, count + 1), unit_rates, strict=True):
            stride, dropped = 1, 1
            if unit == striding_unit:
                stride, dropped = (2, 1) if reached < config.output_stride else (1, 2)
            plans.append(
                UnitPlan(
                    name=f"block{block}_unit{unit}",
                    filters=spec.width * 2 ** (block - 1),
                    stride=stride,
                    rate=rate * unit_rate,
                    projects=unit == 1,
                )
            )
            reached *= stride
            rate *= dropped
    return plans


def resnet(x: keras.KerasTensor, config: ModelConfig) -> keras.KerasTensor:
    """[B, H, W, 3], normalised -> [B, ceil(H / output_stride), ceil(W / output_stride), C].

    C is 2048 for ResNet-50 and -101. Sample i of the result lies on pixel i * output_stride.
    """
    x = conv_bn(x, SPECS[config.backbone].width, 7, name="conv1", config=config, stride=2)
    # Zeros are the same as no padding here: the ReLU before leaves nothing below zero.
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = keras.layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    for plan in plan_units(config):
        x = _bottleneck(x, plan, config)
    return x


def _bottleneck(x: keras.KerasTensor, plan: UnitPlan, config: ModelConfig) -> keras.KerasTensor:
    """1x1, 3x3 (stride and rate), 1x1 to four times the width, added to the shortcut."""
    name, out = plan.name, 4 * plan.filters
    if plan.projects:
        shortcut = conv_bn(
            x, out, 1, name=f"{name}_shortcut", config=config, stride=plan.stride, activation=False
        )
    elif plan.stride > 1:
        shortcut = keras.layers.MaxPooling2D(1, strides=plan.stride, name=f"{name}_shortcut")(x)
    else:
        shortcut = x
    y = conv_bn(x, plan.filters, 1, name=f"{name}_conv1", config=config)
    y = conv_bn(
        y, plan.filters, 3, name=f"{name}_conv2", config=config, stride=plan.stride, rate=plan.rate
    )
    y = conv_bn(y, out, 1, name=f"{name}_conv3", config=config, activation=False)
    y = keras.layers.Add(name=f"{name}_add")([shortcut, y])
    return keras.layers.ReLU(name=f"{name}_relu")(y)
