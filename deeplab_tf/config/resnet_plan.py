"""The units of an atrous ResNet: their number, their widths, and their strides and rates.

Tested in tests/models/test_resnet.py.
"""

import dataclasses

from deeplab_tf.config.atrous_plan import place_strides
from deeplab_tf.config.schema import Backbone, ModelConfig, StridePlacement

ROOT_STRIDE = 4
"""The stride of conv1 and the max pooling together; each has stride 2 (figure 3)."""


@dataclasses.dataclass(frozen=True)
class ResNetSpec:
    """The size of a ResNet; block5 to block7 are replicas of block4 (section 3.2).

    Attributes:
        units: how many bottleneck units each of block1 to block4 has.
        width: filters of conv1.
    """

    units: tuple[int, int, int, int]
    width: int

    def block(self, number: int) -> tuple[int, int]:
        """Returns the units of block `number`, and the filters of each unit's 3x3 convolution."""
        replicated = min(number, 4)
        return self.units[replicated - 1], self.width * 2 ** (replicated - 1)


SPECS = {
    Backbone.RESNET50: ResNetSpec((3, 4, 6, 3), 64),
    Backbone.RESNET101: ResNetSpec((3, 4, 23, 3), 64),
    Backbone.RESNET_SLIM: ResNetSpec((1, 1, 2, 3), 16),
    Backbone.RESNET_TINY: ResNetSpec((1, 1, 1, 1), 8),
}


@dataclasses.dataclass(frozen=True)
class ResNetUnit:
    """One bottleneck unit.

    Attributes:
        name: the name of the unit, for example `block1_unit1`.
        filters: filters of the first 1x1 and of the 3x3 convolution.
        stride: the stride of the unit.
        strides_first: whether the first 1x1 convolution has the stride; if not, the 3x3 has it.
        rate: the atrous rate of the 3x3 convolution.
        projects: whether the shortcut is a convolution.
        leaves_stride_4: see `atrous_plan.Placed`.
    """

    name: str
    filters: int
    stride: int
    strides_first: bool
    rate: int
    projects: bool
    leaves_stride_4: bool

    @property
    def strides(self) -> tuple[int, int]:
        """Returns the strides of the first 1x1 and of the 3x3 convolution."""
        return (self.stride, 1) if self.strides_first else (1, self.stride)


def plan_units(model_config: ModelConfig) -> list[ResNetUnit]:
    """Lists the units, with strides turned into atrous rates once `output_stride` is reached.

    From block4 on the rates are multiplied by the multi-grid's unit rates.
    """
    spec = SPECS[model_config.backbone]
    # The paper strides at the end of each block but the last, the other conventions at the start
    # of each block but the first.
    at_end = model_config.stride_placement is StridePlacement.LAST_UNIT
    strides_first = model_config.stride_placement is StridePlacement.FIRST_CONV
    blocks = range(1, model_config.num_blocks + 1)
    striding_blocks = blocks[:-1] if at_end else blocks[1:]
    units, strides = [], []
    for block in blocks:
        count, filters = spec.block(block)
        unit_rates = model_config.multi_grid if block >= 4 else (1,) * count
        for unit, unit_rate in zip(range(1, count + 1), unit_rates, strict=True):
            strides_here = block in striding_blocks and unit == (count if at_end else 1)
            units.append((block, unit, filters, unit_rate))
            strides.append(2 if strides_here else 1)
    places = place_strides(strides, ROOT_STRIDE, model_config)
    return [
        ResNetUnit(
            name=f"block{block}_unit{unit}",
            filters=filters,
            stride=place.stride,
            strides_first=strides_first,
            # The 3x3 lies after the stride of the first 1x1, or has the stride itself.
            rate=(place.rate if strides_first else place.rate_before) * unit_rate,
            # The shortcut of block5 to block7 has the right number of channels already.
            projects=unit == 1 and block <= 4,
            leaves_stride_4=place.leaves_stride_4,
        )
        for (block, unit, filters, unit_rate), place in zip(units, places, strict=True)
    ]
