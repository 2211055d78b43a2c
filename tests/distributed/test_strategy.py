"""Which devices a name gives, and what is refused."""

import pytest

from deeplab_tf.config import StrategyName
from deeplab_tf.distributed.strategy import make_strategy
from deeplab_tf.errors import DeeplabError


def test_auto_without_gpus_is_one_device():
    assert make_strategy(StrategyName.AUTO, 8).num_replicas_in_sync == 1


def test_mirrored_takes_every_cpu_device():
    assert make_strategy(StrategyName.MIRRORED, 8).num_replicas_in_sync == 2


def test_a_batch_that_cannot_be_dealt_out_is_refused():
    with pytest.raises(DeeplabError, match="multiple of 2, the number of devices. Received: 7"):
        make_strategy(StrategyName.MIRRORED, 7)
