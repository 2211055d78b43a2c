"""The random numbers of the augmentations, each from a seed of its own.

Tested in tests/data/test_training_example.py.
"""

import enum
from typing import Any

import tensorflow as tf

PROBABILITY = 0.5
"""The probability of an augmentation whose field is a strength."""


class Draw(enum.IntEnum):
    """The augmentations that draw; a number that is taken must stay, or old runs change.

    Scale, position and flip draw from the example's seed itself.
    """

    ROTATION = 1
    PHOTOMETRIC = 2
    GREY = 3
    BLUR = 4
    NOISE = 5
    JPEG = 6
    CUT_OUT = 7
    COPY_PASTE = 8


def seed_of(draw: Draw, seed: tf.Tensor) -> tf.Tensor:
    """Returns the seed of one augmentation, int64 [2], from that of the example, int64 [2]."""
    # An int64 number keeps all 64 bits of the new seed; the stubs know only int.
    number: Any = tf.constant(draw, tf.int64)
    folded: Any = tf.random.fold_in(seed, number)
    return folded


def uniform(draw: Draw, seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    """Returns `count` float32 scalars, uniform in [0, 1) and independent of other augmentations."""
    return tf.unstack(tf.random.stateless_uniform([count], seed_of(draw, seed)))
