"""The learning rate of every step against float64."""

import math

import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.config import Experiment, TrainConfig, validate
from deeplab_tf.training.schedule import WarmUp, make_schedule

STEPS = 50
SHAPES = {
    "poly": lambda share: (1 - share) ** 0.9,
    "cosine": lambda share: (1 + math.cos(math.pi * share)) / 2,
    "constant": lambda share: 1.0,
}


@pytest.mark.parametrize("warmup", [0, 1, 7, STEPS - 1])
@pytest.mark.parametrize("name", SHAPES)
def test_the_rate_of_every_step(name, warmup):
    train = TrainConfig(steps=STEPS, schedule=name, warmup_steps=warmup, base_learning_rate=0.3)
    schedule = make_schedule(validate(Experiment(train=train)).train)
    rising = [(step + 1) / (warmup + 1) for step in range(warmup)]
    length = STEPS - warmup
    expected = 0.3 * np.array([*rising, *(SHAPES[name](s / length) for s in range(length))])
    counted = tf.function(lambda step: schedule(step))  # as the optimiser calls it
    found = [float(schedule(step)) for step in range(STEPS)]
    compiled = [float(counted(tf.constant(step, tf.int64))) for step in range(STEPS)]
    for rates in (found, compiled):
        # The share of the steps is rounded to float32, and 1 minus it near the end is of its size.
        np.testing.assert_allclose(rates, expected, rtol=2e-7, atol=0.3 * 2 * 2**-24)
    assert min(found) > 0 and max(found) == pytest.approx(0.3)
    end = 0.3 if name == "constant" else 0.0
    assert float(schedule(STEPS)) == pytest.approx(end, abs=1e-7)


def test_without_a_warm_up_keras_own_schedules_are_used():
    assert not isinstance(make_schedule(TrainConfig()), WarmUp)


def test_poly_schedule_by_hand():
    schedule = make_schedule(TrainConfig())
    # 0.007 * (1 - step / 30000) ** 0.9
    expected = {0: 0.007, 15_000: 0.0037512, 29_999: 6.5416e-7, 30_000: 0.0}
    for step, rate in expected.items():
        # Keras computes 1 - step / steps in float32, which costs the last step its fourth digit.
        assert float(schedule(step)) == pytest.approx(rate, rel=1e-3)
