"""Precisions that not every CPU computes in."""

import keras
import pytest

from deeplab_tf.config import Precision
from deeplab_tf.models import kernels


def skip_without(precision: Precision | str) -> None:
    """Skips the test where TensorFlow has no convolutions in `precision` on this CPU.

    `precision` is a precision of a training, or a dtype.
    """
    dtype = keras.DTypePolicy(str(precision)).compute_dtype
    if not kernels.convolves(dtype):
        pytest.skip(f"ONEDNN_MAX_CPU_ISA leaves no {dtype}")
