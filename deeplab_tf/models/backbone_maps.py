"""The maps of a backbone that the heads read.

Tested in tests/models/test_decoder.py and tests/models/test_lr_aspp.py, through `build_model`.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol, TypeVar

import keras


class Unit(Protocol):
    """A unit of a backbone's plan; see `atrous_plan.Placed`."""

    @property
    def leaves_stride_4(self) -> bool: ...


class Maps(NamedTuple):
    """The maps of a backbone; none depends on `output_stride` but by the stride and rate.

    Attributes:
        last: [B, h, w, C] of stride output_stride.
        stride_4: the last map of stride 4, before the unit that strides to 8.
        stride_8: the result of that unit, of stride 8, or 4 at output_stride 4.
    """

    last: keras.KerasTensor
    stride_4: keras.KerasTensor
    stride_8: keras.KerasTensor


AnyUnit = TypeVar("AnyUnit", bound=Unit)


def run_units(
    x: keras.KerasTensor,
    units: Iterable[AnyUnit],
    apply: Callable[[keras.KerasTensor, AnyUnit], keras.KerasTensor],
) -> Maps:
    """Applies the units to a map [B, h, w, C] one after another."""
    stride_4 = stride_8 = x
    for unit in units:
        y = apply(x, unit)
        if unit.leaves_stride_4:
            stride_4, stride_8 = x, y
        x = y
    return Maps(x, stride_4, stride_8)
