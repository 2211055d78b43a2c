"""The distribution strategy, which holds the devices that a training runs on."""

import functools
import os

import tensorflow as tf

from deeplab_tf.config import StrategyName
from deeplab_tf.distributed.connection import connect
from deeplab_tf.distributed.devices import devices_of
from deeplab_tf.distributed.processes import read_workers, workers_of
from deeplab_tf.errors import DeeplabError, one_line


def make_strategy(name: StrategyName) -> tf.distribute.Strategy:
    """Returns the distribution strategy that `name` asks for, one for the whole process.

    Args:
        name: the strategy. `auto` is `multi_worker` where TF_CONFIG names several workers, else
            `mirrored` where there are two GPUs or more, else `one`. `mirrored` takes all GPUs, or,
            without a GPU, all logical CPU devices. `tpu` takes the TPU of the environment variable
            TPU_NAME, or this machine's.

    Raises:
        DeeplabError: there is only one device to mirror over, there is no TPU, or TF_CONFIG is
            missing, wrong or not wanted.
    """
    workers = workers_of(name)
    if workers.count > 1:
        return _multi_worker()
    if name is StrategyName.TPU:
        return _tpu()
    # devices_of starts TensorFlow, and workers cannot be connected after that.
    devices = devices_of(name, "train.strategy")
    return _mirrored(tuple(devices)) if devices else tf.distribute.get_strategy()


def own_devices(strategy: tf.distribute.Strategy) -> list[str]:
    """Lists the devices of `strategy` in this process where it has several, to put copies on.

    The list is empty where TensorFlow's own choice will do, and for a TPU, on which an image of any
    size cannot be evaluated: its host's processor does it.
    """
    if strategy.num_replicas_in_sync == 1 or isinstance(strategy, tf.distribute.TPUStrategy):
        return []
    devices = list(strategy.extended.worker_devices)
    return devices if len(devices) > 1 else []


def sum_over_replicas(value: tf.Tensor) -> tf.Tensor:
    """Returns the sum of the replicas' `value`, on each replica; gradients pass through the sum."""
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """Returns the same strategy each time, since the collective operations of two would clash."""
    return tf.distribute.MirroredStrategy(devices)


@functools.cache
def _multi_worker() -> tf.distribute.Strategy:
    return connect(read_workers())


@functools.cache
def _tpu() -> tf.distribute.Strategy:
    name = os.environ.get("TPU_NAME", "local")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(name)
    except (tf.errors.OpError, ValueError, RuntimeError, OSError) as error:
        raise DeeplabError(
            f"train.strategy=tpu found no TPU (TPU_NAME={name}): {one_line(str(error))[:200]}"
        ) from error
    return tf.distribute.TPUStrategy(resolver)
