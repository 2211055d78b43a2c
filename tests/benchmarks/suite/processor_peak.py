"""The matrix-multiply peak of the CPU, measured in the turns of the work it is compared with."""

from collections.abc import Mapping

import tensorflow as tf
import torch

from .turns import Group, Way, in_turns

SIDE = 2048


def measure_group(
    name: str,
    ways: Mapping[str, Way],
    rounds: int,
    *,
    images: int = 1,
    flops: Mapping[str, float] | None = None,
) -> Group:
    """`ways` in turns with one float32 product of two 2048x2048 matrices by either framework.

    The peak is that of the fastest product of all.
    """
    products = {"torch's product": _torch_product(), "TensorFlow's product": _tensorflow_product()}
    seconds, failures = in_turns({**ways, **products}, rounds)
    fastest = min(min(seconds.pop(product)) for product in products)
    return Group(name, seconds, images, flops or {}, 2.0 * SIDE**3 / fastest, failures)


def _torch_product() -> Way:
    a, b = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    return lambda: a @ b


def _tensorflow_product() -> Way:
    a, b = tf.random.normal((SIDE, SIDE)), tf.random.normal((SIDE, SIDE))
    return lambda: tf.matmul(a, b).numpy()
