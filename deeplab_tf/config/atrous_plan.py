"""Strides turned into atrous rates (figure 3b): the rule that every backbone's plan follows.

Tested in tests/models/test_resnet.py and tests/models/test_mobilenet_v2.py, through `plan_units`.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from deeplab_tf.config.schema import ModelConfig


class Placed(NamedTuple):
    """A unit's place in a network of a given output_stride.

    Attributes:
        stride: the stride that the unit keeps; 1 where it is dropped.
        rate_before: the atrous rate of what lies before the unit's stride, or has that stride.
        rate: the atrous rate of what lies after the unit's stride.
        leaves_stride_4: whether the unit reads the last map of stride 4, whether or not its own
            stride is dropped.
    """

    stride: int
    rate_before: int
    rate: int
    leaves_stride_4: bool


def place_strides(
    strides: Iterable[int], root_stride: int, model_config: ModelConfig
) -> Iterator[Placed]:
    """Yields each unit's place; a stride is dropped once `output_stride` is reached.

    The unit whose stride is dropped keeps the rate before it, and all units after it have the rate
    multiplied by that stride, so that they see the pixels that they would have seen. With
    `early_rates` the unit itself has that rate too.

    Args:
        strides: the stride of each unit in turn, as of the network for classification.
        root_stride: the stride before the first unit.
        model_config: the source of `output_stride`, the stride of the last map; of `atrous`,
            without which strides are only dropped; and of `early_rates`.
    """
    reached, whole, rate = root_stride, root_stride, 1
    for stride in strides:
        kept, dropped = (stride, 1) if reached < model_config.output_stride else (1, stride)
        before = rate
        if model_config.atrous:
            rate *= dropped
        if model_config.early_rates:
            before = rate
        yield Placed(kept, before, rate, whole == 4 and stride > 1)
        reached *= kept
        whole *= stride
