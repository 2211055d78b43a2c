"""Gradient accumulation: a batch in parts is the batch."""

import dataclasses

import pytest
import tensorflow as tf
from support.noise_run import (
    FROZEN,
    NO_ASPP,
    check_same_but_for_rounding,
    noise_run,
)

from deeplab_tf.config import Experiment, Loss, StrategyName, TrainConfig, validate
from deeplab_tf.distributed.strategy import make_strategy
from deeplab_tf.errors import DeeplabError
from deeplab_tf.training.accumulate import check_parts


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"loss": Loss.FOCAL, "weights": [0.5, 2.0, 7.5]},
        {"loss": Loss.LOVASZ},
    ],
    ids=str,
)
def test_parts_with_unequal_void_are_the_whole_batch(options):
    whole = noise_run(3, batch_norm=FROZEN, **options)
    parts = noise_run(3, batch_norm=FROZEN, accumulate_steps=4, **options)
    check_same_but_for_rounding(whole, parts)


def test_parts_on_two_devices_are_the_whole_batch_on_one():
    options = {"batch_norm": FROZEN, "model_config": NO_ASPP}
    whole = noise_run(3, **options)
    parts = noise_run(3, accumulate_steps=2, strategy=StrategyName.MIRRORED, **options)
    check_same_but_for_rounding(whole, parts)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"accumulate_steps": 3}, "at least 1, and divide train.batch_size=16. Received: 3"),
        ({"accumulate_steps": 0}, "at least 1, and divide train.batch_size=16. Received: 0"),
        ({"accumulate_steps": 2, "loss": Loss.DICE}, "they need the whole batch. Received: 2"),
        ({"accumulate_steps": 2, "ohem_share": 0.5}, "they need the whole batch. Received: 2"),
    ],
)
def test_what_has_no_equal_parts_is_refused(train, message):
    with pytest.raises(DeeplabError, match=message):
        validate(Experiment(train=TrainConfig(**train)))


def test_devices_that_cannot_share_the_parts_are_refused():
    train = TrainConfig(batch_size=6, accumulate_steps=3)
    check_parts(train, tf.distribute.get_strategy())
    two = make_strategy(StrategyName.MIRRORED)
    check_parts(dataclasses.replace(train, batch_size=12), two)
    with pytest.raises(DeeplabError, match="a multiple of 6: 2 device.* Received: 9"):
        check_parts(dataclasses.replace(train, batch_size=9), two)
    with pytest.raises(DeeplabError, match="a multiple of 2: 2 device.* Received: 7"):
        check_parts(TrainConfig(batch_size=7), two)
