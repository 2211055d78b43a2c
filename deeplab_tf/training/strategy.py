"""Over which devices the training runs."""

import functools

import tensorflow as tf

from deeplab_tf.config import StrategyName
from deeplab_tf.errors import DeeplabError


def make_strategy(name: StrategyName, batch_size: int) -> tf.distribute.Strategy:
    """The distribution strategy that `name` asks for.

    Args:
        name: `auto` is `mirrored` where there are two GPUs or more, else `one`. `mirrored` takes
            all GPUs, or, without one, all logical CPU devices.
        batch_size: of the global batch.

    Raises:
        DeeplabError: the batch cannot be dealt out evenly, or there is one device to mirror over.
    """
    gpus = tf.config.list_logical_devices("GPU")
    if name is StrategyName.ONE or (name is StrategyName.AUTO and len(gpus) < 2):
        return tf.distribute.get_strategy()
    devices = [device.name for device in gpus or tf.config.list_logical_devices("CPU")]
    if len(devices) < 2:
        raise DeeplabError(
            f"train.strategy=mirrored needs two devices or more. Found: {devices}. Use one or auto"
        )
    if batch_size % len(devices):
        raise DeeplabError(
            f"train.batch_size must be a multiple of the {len(devices)} devices. "
            f"Received: {batch_size}"
        )
    return _mirrored(tuple(devices))


def sum_over_replicas(value: tf.Tensor) -> tf.Tensor:
    """The sum of the replicas' `value`, on each of them; gradients go through it."""
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """One for the whole process: the collective operations of a second one clash with it."""
    return tf.distribute.MirroredStrategy(devices)
