"""Strides turned into atrous rates (figure 3b): the rule that every backbone's plan follows.

Tested in tests/models/test_resnet.py and tests/models/test_mobilenet_v2.py, through `plan_units`.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Placed(NamedTuple):
    """A unit's place in a network of a given output_stride.

    Attributes:
        stride: the stride that the unit keeps; 1 where it is dropped.
        rate_before: the atrous rate of what lies before the unit's stride, or has that stride.
        rate: the atrous rate of what lies after the unit's stride.
    """

    stride: int
    rate_before: int
    rate: int


def place_strides(
    strides: Iterable[int], root_stride: int, output_stride: int, atrous: bool
) -> Iterator[Placed]:
    """Yields each unit's place; a stride is dropped once `output_stride` is reached.

    The unit whose stride is dropped keeps the rate before it, and all units after it have the rate
    multiplied by that stride, so that they see the pixels that they would have seen.

    Args:
        strides: the stride of each unit in turn, as of the network for classification.
        root_stride: the stride before the first unit.
        output_stride: the stride of the last map.
        atrous: whether dropped strides become rates; without, they are only dropped.
    """
    reached, rate = root_stride, 1
    for stride in strides:
        kept, dropped = (stride, 1) if reached < output_stride else (1, stride)
        before = rate
        if atrous:
            rate *= dropped
        reached *= kept
        yield Placed(kept, before, rate)
