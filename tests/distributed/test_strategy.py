"""Which devices a name gives."""

from deeplab_tf.config import StrategyName
from deeplab_tf.distributed.strategy import make_strategy


def test_auto_without_gpus_is_one_device():
    assert make_strategy(StrategyName.AUTO).num_replicas_in_sync == 1


def test_mirrored_takes_every_cpu_device():
    assert make_strategy(StrategyName.MIRRORED).num_replicas_in_sync == 2
