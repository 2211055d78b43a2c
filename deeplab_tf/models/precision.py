"""In which precision the layers of a network compute."""

import contextlib
from collections.abc import Iterator

import keras

from deeplab_tf.config import Precision


@contextlib.contextmanager
def computing_in(precision: Precision) -> Iterator[None]:
    """Layers made inside compute in `precision`, by Keras' dtype policy of that name.

    Weights, their names and their order do not depend on it.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(str(precision))
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
