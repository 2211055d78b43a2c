"""The benchmark's own arithmetic; what it times needs torch and is run by `make bench`."""

import itertools

import keras
import pytest
from suite.goals import KERAS, check_goals
from suite.report import format_groups, format_page
from suite.turns import Group, in_turns
from suite.work import Work, convolution_flops

from deeplab_tf.config import Backbone
from deeplab_tf.models import build_model


def test_ways_take_turns_and_the_warm_up_does_not_count():
    calls = []
    ways = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    seconds, failures = in_turns(ways, rounds=3, warm_up=1)
    assert calls == ["a", "b"] * 4
    assert {name: len(times) for name, times in seconds.items()} == {"a": 3, "b": 3}
    assert not failures


def test_a_way_that_fails_is_named_and_the_others_go_on():
    turns = itertools.count()

    def fails_in_the_second_turn():
        if next(turns):
            raise ValueError("no such kernel\nat line 7")

    ways = {"good": lambda: None, "bad": fails_in_the_second_turn}
    seconds, failures = in_turns(ways, rounds=3)
    assert list(seconds) == ["good"]
    assert failures == {"bad": "ValueError: no such kernel"}


def test_ratio_and_share_of_the_peak():
    group = Group(
        "work",
        {"ours": [2.0, 1.0, 9.0], "theirs": [4.0, 4.0, 4.0]},
        images=8,
        flops={"ours": 1e9},
        peak=1e9,
    )
    ways = group.to_dict()["ways"]
    assert ways["ours"]["median_s"] == 2.0
    assert ways["theirs"]["ratio"] == 0.5
    assert ways["ours"]["of_peak"] == 0.5
    assert "of_peak" not in ways["theirs"]
    row = format_groups([group.to_dict()]).splitlines()[2]
    assert row.split() == ["ours", "2000", "1000", "4", "1.00", "50", "%"]


def test_operations_of_a_network_counted_by_hand():
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same")(image)
    x = keras.layers.Conv2D(4, 1)(keras.layers.ReLU()(x))
    # 33 x 33 pixels become 17 x 17.
    by_hand = 2 * 17 * 17 * (3 * 3 * 3 * 8 + 8 * 4)
    assert convolution_flops(keras.Model(image, x), 33) == by_hand


def test_operations_of_a_training_step_are_three_times_those_of_its_images():
    work = Work(backbone=Backbone.RESNET50, size=33)
    model = build_model(work.model_config)
    step = Work(backbone=Backbone.RESNET50, size=33, batch=2, training=True)
    assert step.flops(model) == 6 * work.flops(model)


def test_operations_are_those_that_torchvision_documents():
    at_8 = Work(backbone=Backbone.RESNET50, output_stride=8)
    multiply_adds = convolution_flops(build_model(at_8.model_config), 520) / 2
    # 178.722e9 with its auxiliary head, not in ours here, on the 65x65 map of layer3.
    auxiliary = 65 * 65 * (3 * 3 * 1024 * 256 + 256 * 21)
    assert multiply_adds + auxiliary == pytest.approx(178.722e9, rel=1e-5)


def test_goals_name_the_fastest_of_torchvision():
    group = Group(
        "inference",
        {
            "deeplab_tf": [1.0],
            KERAS: [2.0],
            "torchvision, eager": [1.5],
            "torchvision, compiled": [0.8],
        },
    ).to_dict()
    lines = list(check_goals({"forward": [group]}))
    assert lines[0].startswith("MISSED: 0.80.")
    assert "torchvision, compiled" in lines[0]
    assert lines[1].startswith("reached: 2.00.")
    (line, _) = check_goals({"forward_without_onednn": [group]})
    assert line.startswith("MISSED: 0.80. deeplab_tf, without oneDNN, inference: at least")


def test_the_input_pipeline_is_held_to_torchvisions_usual_way():
    group = Group("pipeline", {"deeplab_tf": [1.0], "torchvision": [1.3], "reused": [1.1]})
    assert list(check_goals({"pipeline": [group.to_dict()]})) == [
        "reached: 1.30. deeplab_tf, pipeline: at least 1.20 of torchvision"
    ]


def test_the_page_has_every_table():
    group = Group("input pipeline", {"ours": [1.0], "theirs": [2.0]}).to_dict()
    memory = {"name": "peak memory", "peak_bytes": {"ours": 2_000_000_000}}
    page = format_page(
        {
            "machine": "a CPU, 2 cores",
            "versions": {"keras": "3"},
            "flags": {"rounds": 7},
            "parts": {"pipeline": [group], "memory": [memory]},
        }
    )
    assert "| theirs | 2000 | 2000 | 0.5 | 0.50 | - |" in page
    assert "| ours | 2,000 |" in page
