"""The precision in which the layers of a network compute."""

import contextlib
import os
from collections.abc import Iterator

import keras

from deeplab_tf.config import Precision
from deeplab_tf.errors import DeeplabError
from deeplab_tf.models import kernels


@contextlib.contextmanager
def computing_in(precision: Precision) -> Iterator[None]:
    """Makes layers that are built inside the block compute in `precision`, a Keras dtype policy.

    Weights, their names and their order do not depend on the precision.

    Raises:
        DeeplabError: TensorFlow cannot compute in `precision` on this CPU.
    """
    dtype = keras.DTypePolicy(str(precision)).compute_dtype
    if kernels.on_cpu() and not kernels.convolves(dtype):
        raise DeeplabError(
            f"{precision} needs convolutions in {dtype}, which oneDNN does not have within "
            f"ONEDNN_MAX_CPU_ISA={os.environ.get('ONEDNN_MAX_CPU_ISA')}; unset it, or set "
            "TF_ENABLE_ONEDNN_OPTS=0"
        )
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(str(precision))
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
