"""Atrous ResNet with cascaded modules block5 to block7 and multi-grid (section 3.2, figure 3)."""

import dataclasses

import keras

from deeplab_tf.config import Backbone, ModelConfig, StridePlacement
from deeplab_tf.models.conv import conv_bn

ROOT_STRIDE = 4
"""conv1 and the max pooling, each stride 2 (figure 3)."""


@dataclasses.dataclass(frozen=True)
class ResNetSpec:
    """`units[i]` bottleneck units in block i + 1; conv1 has `width` filters.

    Block5 to block7 are replicas of block4 (section 3.2).
    """

    units: tuple[int, int, int, int]
    width: int

    def block(self, number: int) -> tuple[int, int]:
        """Units of block `number`, and the filters of their 3x3 convolutions."""
        replicated = min(number, 4)
        return self.units[replicated - 1], self.width * 2 ** (replicated - 1)


SPECS = {
    Backbone.RESNET50: ResNetSpec((3, 4, 6, 3), 64),
    Backbone.RESNET101: ResNetSpec((3, 4, 23, 3), 64),
    Backbone.RESNET_SLIM: ResNetSpec((1, 1, 2, 3), 16),
}


@dataclasses.dataclass(frozen=True)
class UnitPlan:
    """One bottleneck unit.

    Attributes:
        name: of the unit.
        filters: the width of its first 1x1 and of its 3x3.
        stride: of the unit.
        strides_first: whether the first 1x1 has that stride; else the 3x3.
        rate: of the 3x3.
        projects: whether the shortcut is a convolution.
    """

    name: str
    filters: int
    stride: int
    strides_first: bool
    rate: int
    projects: bool


def plan_units(config: ModelConfig) -> list[UnitPlan]:
    """Turns strides into atrous rates once `output_stride` is reached (figure 3b).

    The convolution whose stride is dropped still has the rate before it; those after it have the
    rate multiplied by that stride, unless `config.atrous` is off. From block4 on the rates are
    multiplied by the multi-grid's unit rates.
    """
    spec = SPECS[config.backbone]
    # The paper strides at the end of every block but the last, others at the head of block2 on.
    at_end = config.stride_placement is StridePlacement.LAST_UNIT
    strides_first = config.stride_placement is StridePlacement.FIRST_CONV
    blocks = range(1, config.num_blocks + 1)
    striding_blocks = blocks[:-1] if at_end else blocks[1:]
    plans, reached, rate = [], ROOT_STRIDE, 1
    for block in blocks:
        count, filters = spec.block(block)
        unit_rates = config.multi_grid if block >= 4 else (1,) * count
        striding_unit = (count if at_end else 1) if block in striding_blocks else None
        for unit, unit_rate in zip(range(1, count + 1), unit_rates, strict=True):
            stride, dropped = 1, 1
            if unit == striding_unit:
                stride, dropped = (2, 1) if reached < config.output_stride else (1, 2)
            rate_before = rate
            if config.atrous:
                rate *= dropped
            plans.append(
                UnitPlan(
                    name=f"block{block}_unit{unit}",
                    filters=filters,
                    stride=stride,
                    strides_first=strides_first,
                    rate=(rate if strides_first else rate_before) * unit_rate,
                    # The shortcut of block5 to block7 has the right number of channels already.
                    projects=unit == 1 and block <= 4,
                )
            )
            reached *= stride
    return plans


def resnet(x: keras.KerasTensor, config: ModelConfig) -> keras.KerasTensor:
    """[B, H, W, 3], normalised -> [B, ceil(H / output_stride), ceil(W / output_stride), C].

    C is 2048 for ResNet-50 and -101. Sample i of the result lies on pixel i * output_stride.
    """
    width = SPECS[config.backbone].width
    if config.deep_root:
        x = conv_bn(x, width, 3, name="conv1_1", config=config, stride=2)
        x = conv_bn(x, width, 3, name="conv1_2", config=config)
        x = conv_bn(x, 2 * width, 3, name="conv1_3", config=config)
    else:
        x = conv_bn(x, width, 7, name="conv1", config=config, stride=2)
    # Zeros are the same as no padding here: the ReLU before leaves nothing below zero.
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = keras.layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    for plan in plan_units(config):
        x = _bottleneck(x, plan, config)
    return x


def _bottleneck(x: keras.KerasTensor, plan: UnitPlan, config: ModelConfig) -> keras.KerasTensor:
    """1x1, 3x3 (rate; one of the two strides), 1x1 to four times the width, plus the shortcut."""
    name, out = plan.name, 4 * plan.filters
    strides = (plan.stride, 1) if plan.strides_first else (1, plan.stride)
    if plan.projects:
        shortcut = conv_bn(
            x, out, 1, name=f"{name}_shortcut", config=config, stride=plan.stride, activation=None
        )
    elif plan.stride > 1:
        shortcut = keras.layers.MaxPooling2D(1, strides=plan.stride, name=f"{name}_shortcut")(x)
    else:
        shortcut = x
    y = conv_bn(x, plan.filters, 1, name=f"{name}_conv1", config=config, stride=strides[0])
    y = conv_bn(
        y, plan.filters, 3, name=f"{name}_conv2", config=config, stride=strides[1], rate=plan.rate
    )
    y = conv_bn(
        y,
        out,
        1,
        name=f"{name}_conv3",
        config=config,
        activation=None,
        gamma_initializer="zeros" if config.zero_init_residual else "ones",
    )
    y = keras.layers.Add(name=f"{name}_add")([shortcut, y])
    return keras.layers.ReLU(name=f"{name}_relu")(y)
