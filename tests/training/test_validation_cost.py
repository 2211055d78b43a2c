"""The line on what evaluations cost, of hand-made times."""

import pytest

from deeplab_tf.config import TrainConfig
from deeplab_tf.data.records import SplitFiles
from deeplab_tf.training.held_out_split import HeldOutSplit
from deeplab_tf.training.validation_cost import ValidationCost

SPLIT = HeldOutSplit("val", SplitFiles([], 400), every=4)
TRAIN = TrainConfig(steps=1000, evaluate_every=100)


def line(seconds, total, start=0, step=1000, train=TRAIN):
    return ValidationCost(10, seconds).line(train, SPLIT, start, step, total)


def test_the_share_the_count_and_the_time_are_said():
    assert line(50.0, 1000.0) == (
        "validation took 5.0 % of the run (10 evaluations of 100 images, 50 s)"
    )
    assert "of the run since step 400 (" in line(50.0, 1000.0, start=400)
    cost = ValidationCost()
    cost.add(2.0)
    assert "(1 evaluation of 100 images, 2 s)" in cost.line(TRAIN, SPLIT, 0, 1000, 100.0)


@pytest.mark.parametrize("total", [1000.0, 59.0])
def test_advice_is_for_runs_that_are_long_and_spend_more_than_a_tenth(total):
    assert ("; train." in line(0.3 * total, total)) is (total > 60)
    assert "; train." not in line(0.1 * total, total)


def test_the_interval_that_is_named_brings_the_share_to_a_tenth():
    # 30 s an evaluation and 0.7 s a step: 386 steps are nine times as long as an evaluation.
    assert line(300.0, 1000.0).endswith("; train.evaluate_every=386 makes it 10 %")
    assert 30 / (30 + 386 * 0.7) <= 0.1 < 30 / (30 + 385 * 0.7)


def test_an_interval_beyond_the_run_gives_the_number_of_images():
    # 90 s an evaluation and 0.1 s a step: an interval of 8,100 steps, or 1 image in 100 steps.
    found = line(900.0, 1000.0)
    assert found.endswith("; train.evaluate_images=1 makes it 10 %")
    train = TrainConfig(steps=1000, evaluate_every=10)
    assert "; train." not in line(900.0, 1000.0, train=train)


def test_a_run_without_a_step_gets_no_advice():
    assert "; train." not in line(900.0, 1000.0, start=1000)
