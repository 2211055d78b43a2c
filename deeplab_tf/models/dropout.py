"""Dropout whose masks are a function of a key, so that a training that goes on draws its own masks.

Tested in tests/training/test_dropout.py.
"""

import contextlib
import contextvars
import zlib
from collections.abc import Callable, Iterator

import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
else:
    tf = None

_KEY: contextvars.ContextVar[Callable | None] = contextvars.ContextVar("key", default=None)


@contextlib.contextmanager
def masks_drawn_by(key: Callable) -> Iterator[None]:
    """Makes dropout inside the block draw its masks by `key()`, integers [2], in this thread."""
    token = _KEY.set(key)
    try:
        yield
    finally:
        _KEY.reset(token)


@keras.saving.register_keras_serializable("deeplab_tf")
class KeyedDropout(keras.layers.Dropout):
    """`keras.layers.Dropout` that draws its masks by the key of `masks_drawn_by` inside it.

    Elsewhere Keras draws the masks, by a state that no checkpoint has and that is the same on all
    replicas.
    """

    # Keras reads the mode of a layer around this one only where the default is None: the parent's
    # False would turn dropout off inside a rematerialised network.
    def call(self, inputs, training=None):
        """Sets a share `rate` of the inputs to 0 and divides the others by 1 - rate."""
        key = _KEY.get()
        if key is None or not training or self.rate == 0:
            return super().call(inputs, training=bool(training))
        # The mask is drawn in float32: 16 bits know too few numbers below 1.
        layer_key = _folded(key(), zlib.crc32(self.name.encode()))
        drawn = tf.random.stateless_uniform(
            tf.shape(inputs),
            layer_key,  # pyright: ignore[reportArgumentType]
            alg="philox",
        )
        return tf.where(drawn >= self.rate, inputs / (1 - self.rate), tf.zeros_like(inputs))


def dropout_key(seed: int, step, part, replica):
    """Returns the key, int64 [2], of the masks that a replica draws for one part of a step's batch.

    The key is the same on any device. All arguments are integers or scalars of an integer type.
    """
    key = tf.constant([seed, 0], tf.int64)
    for number in (step, part, replica):
        key = _folded(key, number)
    return key


def _folded(key, number):
    return tf.random.fold_in(key, tf.cast(number, tf.int64), alg="philox")
