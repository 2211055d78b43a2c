"""The range of the least error, against all ranges of a grid tried one by one."""

import numpy as np
import pytest

from deeplab_tf.export.ranges import SHARES, least_error, wide_enough
from deeplab_tf.export.tensors import Operation


def error(numbers, low, high):
    """The mean square of rounding to 255 steps between low and high, rounding on the average."""
    clipped = np.clip(numbers, low, high) - numbers
    return np.mean(clipped**2) + ((high - low) / 255) ** 2 / 12


@pytest.mark.parametrize("kind", ["long tails", "behind a ReLU6", "one far number"])
def test_no_range_of_the_grid_has_less_error(kind):
    rng = np.random.default_rng(0)
    numbers = rng.standard_t(3, 5000)
    if kind == "behind a ReLU6":
        numbers = np.clip(rng.normal(0, 3, 5000), 0, 6)
    elif kind == "one far number":
        numbers = np.append(rng.uniform(-1, 1, 50_000), 3.0)
    low, high = float(numbers.min()), float(numbers.max())
    found = least_error(numbers, low, high)
    tried = [error(numbers, low * a, high * b) for a in SHARES for b in SHARES]
    assert error(numbers, *found) == pytest.approx(min(tried), rel=1e-9)
    if kind == "behind a ReLU6":
        assert found == (0.0, 6.0)  # many numbers lie on 6
    elif kind == "one far number":
        assert found[1] < 0.95 * high


class OneSum:
    """Stands for a file's reader, with an ADD of a loud tensor and a quiet one."""

    operations = (Operation("ADD", ("loud", "quiet"), "sum"),)
    dtypes = dict.fromkeys(("loud", "quiet", "sum"), np.dtype(np.float32))


def test_what_stays_float_is_not_widened():
    ranges = {"loud": (0.0, 5000.0), "quiet": (-1.0, 1.0), "sum": (0.0, 2.0)}
    widened = wide_enough(OneSum(), ranges, ranges.__getitem__)
    assert widened == ranges | {"sum": (0.0, pytest.approx(50))}  # a hundredth
    assert wide_enough(OneSum(), ranges, ranges.__getitem__, kept=["sum"]) == ranges


def test_a_tensor_that_is_never_0_keeps_0_in_its_range():
    assert least_error(np.full(9, 3.0), 3.0, 3.0) == (0.0, 3.0)
    assert least_error(np.zeros(9), 0.0, 0.0) == (0.0, 0.0)
