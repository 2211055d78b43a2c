"""The rules at their borders, by figures worked out by hand."""

import dataclasses
import math
import re

import pytest

from deeplab_tf.config import Fit, OptimizerName, load_experiment, load_rows, to_json, validate
from deeplab_tf.config.gaps import GAPS, open_fields, value_of, with_values
from deeplab_tf.data.sources.known import DATA_SETS, FOLDER
from deeplab_tf.errors import DeeplabError
from deeplab_tf.training.choices.choice import Begin
from deeplab_tf.training.choices.evaluation_rule import image_cost
from deeplab_tf.training.choices.facts import DataFacts, Machine
from deeplab_tf.training.choices.memory import COSTS, step_bytes
from deeplab_tf.training.choices.rules import fill

ROW = load_experiment("configs/own.py:mobilenet_v2")
LAPTOP = Machine("CPU", memory=8 * 10**9, host=8 * 10**9)
CAMVID = DataFacts(
    images=367,
    shorter=360,
    size=(360, 480),
    shares=dict(zip("abcdefghijk", (33, 24, 17.5, 10, 6, 4.7, 1.2, 1.2, 1, 0.7, 0.3), strict=True)),
    held_out=101,
    record_bytes=250_000,
)


def chosen(facts=CAMVID, machine=LAPTOP, begin=Begin.CLASSIFIER, experiment=ROW, **given):
    """The filled experiment's fields by name, and its notes."""
    filled, _, notes = fill(with_values(experiment, given_fields(given)), facts, machine, begin)
    assert not any(value_of(filled, gap) is None for gap in GAPS)
    return {**vars(filled.data), **vars(filled.train), **vars(filled.evaluate)}, notes


def given_fields(given):
    """Dotted names of `section__field=value`."""
    return {name.replace("__", "."): value for name, value in given.items()}


def photos(**changes):
    """40 photos of 12 megapixels."""
    facts = DataFacts(40, 3000, (3000, 4000), shares={"other": 0.9, "cat": 0.1}, held_out=4)
    return dataclasses.replace(facts, record_bytes=4_000_000, **changes)


def test_camvid_gets_what_its_hand_made_row_has():
    found, notes = chosen()
    by_hand = load_experiment("configs/camvid.py:mobilenet_v2")
    for name in ("batch_size", "base_learning_rate", "class_weights"):
        assert found[name] == getattr(by_hand.train, name)
    assert (found["min_scale"], found["max_scale"], found["working_size"]) == (0.5, 2.0, None)
    assert found["crop_size"] == 353  # 22 * 16 + 1, below the 360 rows
    assert found["steps"] == math.ceil(33 * 367 / 8) == 1514
    assert found["evaluate_every"] == 152 and found["evaluate_images"] is None
    assert notes == []


@pytest.mark.parametrize(
    ("shorter", "crop"), [(64, 65), (63, 49), (20, 33), (375, 369), (512, 513), (2000, 513)]
)
def test_a_crop_is_what_most_images_fill_up_to_the_papers(shorter, crop):
    size = (shorter, min(1026, 2 * shorter))
    tiles = DataFacts(100, shorter, size, tiles=shorter > 513, shares={"a": 1.0}, held_out=9)
    assert chosen(tiles)[0]["crop_size"] == crop


def test_one_image_is_seen_as_often_as_a_run_has_examples():
    one = DataFacts(1, 100, (100, 100), shares={"a": 0.5, "b": 0.5})
    found, _ = chosen(one)
    assert (found["steps"], found["batch_size"], found["crop_size"]) == (500, 8, 97)
    assert chosen(one, begin=Begin.RANDOM)[0]["steps"] == 2000
    assert found["evaluate_every"] == 50 and found["evaluate_images"] is None  # no split for it


def test_large_photos_are_shown_shrunk_in_training_and_evaluation():
    found, _ = chosen(photos())
    assert found["working_size"] == 1026
    assert found["min_scale"] == round(0.5 * 1026 / 4000, 4)
    assert found["max_scale"] == round(2 * 1026 / 4000, 4)
    assert found["crop_size"] == 513
    assert found["shuffle_buffer"] == 200  # 0.8 GB of 4 MB each
    tiles, _ = chosen(photos(tiles=True))
    assert (tiles["min_scale"], tiles["max_scale"], tiles["working_size"]) == (0.5, 2.0, None)


def test_some_large_images_are_shrunk_in_evaluation_only():
    some = dataclasses.replace(CAMVID, longest=6000)
    found, _ = chosen(some)
    assert (found["min_scale"], found["max_scale"], found["working_size"]) == (0.5, 2.0, 1026)
    assert chosen(some, evaluate__working_size=0)[0]["working_size"] == 0
    assert chosen(dataclasses.replace(CAMVID, longest=900))[0]["working_size"] is None


def test_an_evaluation_that_does_not_fit_is_of_smaller_images():
    # 0.7 * 1.5 GB less 0.84 at rest hold 0.52 megapixels of 400 bytes: 836 x 627 pixels at most.
    tight = Machine("CPU", memory=15 * 10**8, host=15 * 10**8)
    found, _ = chosen(photos(), tight)
    side = found["working_size"]
    assert 0.75 * side**2 * 400 <= 0.7 * 1.5e9 - 0.84e9 < 0.75 * (side * 8 / 7 + 2) ** 2 * 400
    assert found["max_scale"] == round(2 * side / 4000, 4)


def test_a_working_size_that_is_given_decides_the_scales():
    assert chosen(photos(), evaluate__working_size=2000)[0]["min_scale"] == 0.25
    whole, _ = chosen(photos(), evaluate__working_size=0)
    assert (whole["min_scale"], whole["max_scale"], whole["working_size"]) == (0.5, 2.0, 0)


def test_a_scale_that_is_given_decides_the_other():
    found, _ = chosen(photos(), data__max_scale=1.0)
    assert (found["min_scale"], found["max_scale"], found["working_size"]) == (0.25, 1.0, None)
    assert chosen(photos(), data__min_scale=1.0)[0]["max_scale"] == 4.0


def test_a_crop_is_of_the_size_at_which_images_are_shown():
    as_they_are, _ = chosen(data__min_scale=1.0, data__max_scale=1.0)
    assert as_they_are["crop_size"] == 353  # of 360 rows
    found, _ = chosen(data__min_scale=0.25, data__max_scale=1.0)
    assert found["crop_size"] == 177  # of 180 rows


@pytest.mark.parametrize(
    ("size", "tenths", "told"),
    [
        # The median is shown at 1026 / 4000 = 0.26; a photo of 600 is evaluated as it is.
        ((3000, 4000), (600, 4000), "at most 600 pixels long, evaluated at 1 of"),
        ((3000, 4000), (2100, 7900), None),
        ((3000, 4000), (4000, 9000), "at least 9000 pixels long, evaluated at 0.11 of"),
        ((360, 480), (480, 2000), None),  # shrunk to 0.51, and half is shown
        ((360, 480), (300, 3000), "at least 3000 pixels long, evaluated at 0.34 of"),
    ],
)
def test_sizes_that_no_one_scale_shows_are_said(size, tenths, told):
    facts = DataFacts(40, min(size), size, max(tenths), tenths=tenths, shares={"a": 1.0})
    found, notes = chosen(facts)
    assert len(notes) == bool(told)
    if told:
        assert told in notes[0]
        low, high, size = map(float, re.findall(r"--config[a-z_.]+=([\d.]+)", notes[0]))
        assert low <= found["min_scale"] * 1.03 and high >= found["max_scale"] * 0.97
        # The flags that the note gives leave nothing to say.
        flags = {"data.min_scale": low, "data.max_scale": high}
        row = with_values(ROW, {**flags, "evaluate.working_size": int(size)})
        assert chosen(facts, experiment=row)[1] == []
    assert chosen(facts, evaluate__working_size=0)[1] == []
    assert chosen(facts, data__fit=Fit.LETTERBOX)[1] == []


def test_little_memory_lowers_the_crop_until_four_images_fit():
    small = Machine("CPU", memory=2 * 10**9, host=2 * 10**9)
    found, notes = chosen(machine=small)
    room = 0.7 * 2e9 - 367 * 250_000
    assert found["batch_size"] == 4 and notes == []
    cost = COSTS[ROW.model.backbone]

    def need(crop):
        return cost.at_rest + 4 * crop**2 * cost.a_pixel[0]

    assert need(found["crop_size"]) <= room < need(found["crop_size"] + 16)
    assert found["base_learning_rate"] == 0.015  # half the batch, half the rate
    assert found["steps"] == math.ceil(33 * 367 / 4)  # half the batch, twice the steps
    # Of 1.12 GB less 0.84 at rest and 0.09 of images, two crops of 65 MB are held, but not four.
    tight = Machine("CPU", memory=16 * 10**8, host=16 * 10**8)
    found, _ = chosen(machine=tight)
    assert (found["crop_size"], found["batch_size"]) == (193, 2)


def test_no_memory_at_all_is_said():
    _, notes = chosen(machine=Machine("CPU", memory=10**9, host=10**9))
    assert len(notes) == 1 and "GB are free" in notes[0]


def test_a_crop_too_large_for_the_memory_is_said_in_one_line():
    found, notes = chosen(data__crop_size=1025, train__batch_size=16)
    assert (found["crop_size"], found["batch_size"]) == (1025, 16)
    need = (step_bytes(ROW, 16, (1025, 1025)) + 367 * 250_000) / 1e9
    assert notes == [
        "note: a step with the images held for shuffling, of 16 crops of 1025x1025, needs about "
        f"{need:.1f} GB, and 8.0 GB are free: a smaller data.crop_size, train.batch_size or "
        "data.shuffle_buffer, or train.rematerialize=True, needs less"
    ]


@pytest.mark.parametrize(("memory", "batch"), [(24, 16), (12, 8)])
def test_images_held_for_shuffling_take_no_memory_of_a_gpu(memory, batch):
    facts = dataclasses.replace(photos(), images=3000, record_bytes=5_000_000)
    row = load_experiment("configs/own.py:resnet50")
    # 16 crops of 513 take 1.7 + 16 * 0.61 = 11.5 GB, 8 take 6.6, and 10.2 GB of images are on the
    # host.
    machine = Machine("GPU", 1, memory * 10**9, 128 * 10**9)
    filled, choices, notes = fill(row, facts, machine, Begin.CLASSIFIER)
    assert (filled.train.batch_size, filled.data.crop_size, notes) == (batch, 513, [])
    (reason,) = (each.reason for each in choices if each.field == "train.batch_size")
    assert "shuffling" not in reason
    assert f"{step_bytes(row, batch, (513, 513)) / 1e9:.1f} GB" in reason


def test_a_cpu_counts_the_images_held_for_shuffling_as_needed():
    _, choices, _ = fill(ROW, CAMVID, LAPTOP, Begin.CLASSIFIER)
    (reason,) = (each.reason for each in choices if each.field == "train.batch_size")
    # 0.84 + 8 * 353^2 * 1740 bytes + 367 * 0.25 MB
    assert reason.endswith("a step with the images held for shuffling needs 2.7 GB of 8.0 GB")


def test_a_batch_that_is_given_lowers_the_crop():
    assert chosen(train__batch_size=64)[0]["crop_size"] < 353
    assert chosen(train__batch_size=2)[0]["crop_size"] == 353


@pytest.mark.parametrize(("replicas", "batch"), [(1, 16), (2, 16), (3, 12), (8, 16), (32, 32)])
def test_gpus_share_the_papers_batch(replicas, batch):
    gpus = Machine("GPU", replicas, memory=80 * 10**9, host=10**12)
    assert chosen(machine=gpus)[0]["batch_size"] == batch


def test_parts_of_a_batch_need_memory_for_one_part():
    little = Machine("CPU", memory=24 * 10**8, host=24 * 10**8)
    whole, _ = chosen(machine=little, data__crop_size=353)
    parts, _ = chosen(machine=little, data__crop_size=353, train__accumulate_steps=4)
    assert whole["batch_size"] == 2 and parts["batch_size"] == 8


def test_unknown_memory_gets_the_papers_batch():
    assert chosen(machine=Machine("TPU", 8))[0]["batch_size"] == 16


def test_the_rate_follows_batch_optimiser_and_weights():
    assert chosen(train__batch_size=2)[0]["base_learning_rate"] == 0.0075
    assert chosen(begin=Begin.SEGMENTER)[0]["base_learning_rate"] == 0.01
    assert chosen(train__optimizer=OptimizerName.ADAMW)[0]["base_learning_rate"] == 3e-4
    resnet = load_experiment("configs/own.py:resnet101")
    gpu = Machine("GPU", 1, 80 * 10**9, 10**12)
    assert chosen(machine=gpu, experiment=resnet)[0]["base_learning_rate"] == 0.007
    assert (
        chosen(experiment=load_experiment("configs/own.py:slim"))[0]["base_learning_rate"] == 0.05
    )


@pytest.mark.parametrize(
    ("shares", "weights"),
    [
        ({"other": 0.999, "cat": 0.001}, "auto"),
        ({"other": 0.976, "cat": 0.024}, "auto"),  # 1/20 of the median 0.5 is 0.025
        ({"other": 0.974, "cat": 0.026}, "none"),
        ({"a": 1.0}, "none"),
    ],
)
def test_classes_are_weighed_where_one_is_rare(shares, weights):
    assert chosen(dataclasses.replace(CAMVID, shares=shares))[0]["class_weights"] == weights


def test_steps_end_at_some_hours_on_a_cpu_and_at_the_papers_on_a_gpu():
    many = dataclasses.replace(CAMVID, images=1_000_000)
    assert chosen(many)[0]["steps"] == 6000
    gpu = Machine("GPU", 1, 80 * 10**9, 10**12)
    assert chosen(many, gpu)[0]["steps"] == 30_000
    assert chosen(many, gpu, train__warmup_steps=20_000)[0]["steps"] == 40_000


@pytest.mark.parametrize("held_out", [1, 40, 500, 100_000])
@pytest.mark.parametrize("facts", [CAMVID, photos()], ids=["camvid", "photos"])
def test_evaluations_cost_less_than_a_tenth_of_the_run(facts, held_out):
    facts = dataclasses.replace(facts, held_out=held_out)
    filled, _, _ = fill(ROW, facts, LAPTOP, Begin.CLASSIFIER)
    train = filled.train
    evaluations = -(-train.steps // train.evaluate_every)
    steps = 3 * train.steps * train.batch_size * filled.data.crop_size**2
    every = -(-held_out // (train.evaluate_images or held_out))
    taken = -(-held_out // every)
    cost = evaluations * taken * image_cost(filled, facts)
    assert cost <= 0.1 * (cost + steps) * 1.02  # steps are rounded up
    assert taken >= min(held_out, 25)


@pytest.mark.parametrize(("held_out", "taken"), [(30, 30), (50, 50), (101, 51), (1000, 50)])
def test_a_short_run_is_evaluated_on_enough_images_whatever_it_costs(held_out, taken):
    facts = dataclasses.replace(photos(), held_out=held_out)
    filled, choices, _ = fill(
        with_values(ROW, {"train.steps": 50, "data.crop_size": 193}), facts, LAPTOP, Begin.RANDOM
    )
    train = filled.train
    assert (train.evaluate_every, train.evaluate_images or held_out) == (50, taken)
    cost, steps = taken * image_cost(filled, facts), 3 * 50 * 8 * 193**2
    assert cost > 0.1 * (cost + steps)
    (reason,) = (each.reason for each in choices if each.field == "train.evaluate_every")
    assert f"one evaluation of {taken} images" in reason and "more than a tenth" in reason


def test_images_that_are_given_are_not_made_more():
    facts = dataclasses.replace(photos(), held_out=101)
    row = with_values(ROW, {"train.steps": 50, "data.crop_size": 193, "train.evaluate_images": 30})
    filled, choices, _ = fill(row, facts, LAPTOP, Begin.RANDOM)
    assert filled.train.evaluate_images == 30
    reason = choices[-1].reason
    assert reason.startswith("one evaluation of 26 images, ")  # every fourth of 101


def test_a_data_set_without_a_held_out_split_is_not_said_to_be_evaluated():
    _, choices, _ = fill(ROW, dataclasses.replace(CAMVID, held_out=0), LAPTOP, Begin.CLASSIFIER)
    (reason,) = (each.reason for each in choices if each.field.startswith("train.evaluate"))
    assert reason == "without effect: the data set has no split to evaluate on"


def test_the_cost_of_an_image_by_hand():
    filled, _, _ = fill(ROW, photos(), LAPTOP, Begin.CLASSIFIER)
    # 1026 x 769.5 pixels at half the output_stride of a MobileNet.
    assert image_cost(filled, photos()) == pytest.approx(1.5 * 1026 * 769.5)


def test_a_letterbox_takes_the_longer_side():
    found, _ = chosen(experiment=with_values(ROW, {"data.fit": Fit.LETTERBOX}))
    assert (found["crop_size"], found["min_scale"], found["working_size"]) == (481, 0.5, None)


GIVEN = {
    "data.crop_size": 97,
    "data.min_scale": 0.75,
    "data.max_scale": 1.25,
    "data.shuffle_buffer": 7,
    "train.batch_size": 3,
    "train.steps": 77,
    "train.base_learning_rate": 0.123,
    "train.class_weights": "none",
    "train.evaluate_every": 0,
}


def test_every_gap_is_tried():
    assert set(GIVEN) == set(GAPS)


@pytest.mark.parametrize("field", GIVEN)
def test_each_value_that_is_given_stays_and_is_not_listed(field):
    rare = dataclasses.replace(CAMVID, shares={"other": 0.999, "cat": 0.001})
    given = with_values(ROW, {field: GIVEN[field]})
    filled, choices, _ = fill(given, rare, LAPTOP, Begin.CLASSIFIER)
    assert value_of(filled, field) == GIVEN[field]
    assert field not in [choice.field for choice in choices]
    assert len({choice.field for choice in choices} & {*GAPS}) == len(GAPS) - 1
    # What is open when the rest is chosen again is chosen again alike.
    again = with_values(filled, {other: None for other in GAPS if other != field})
    assert fill(again, rare, LAPTOP, Begin.CLASSIFIER)[0] == filled


def test_a_value_that_does_not_go_with_the_others_is_refused():
    with pytest.raises(DeeplabError, match="config.train.accumulate_steps must be at least 1, and"):
        chosen(train__batch_size=6, train__accumulate_steps=4)


def test_the_rows_with_the_rate_of_a_fine_tuning_say_what_they_begin_with():
    for name, row in load_rows("configs/own.py").items():
        assert row.initial_weights == (None if name == "slim" else "ImageNet")
        assert row.init_from is None  # a note of the training says so
    for known in (*DATA_SETS.values(), FOLDER):
        if "own.py:" in known.example:
            assert "--config.init_from=imagenet-" in known.example


def test_only_the_rows_of_own_data_are_open():
    assert {name: set(open_fields(row)) for name, row in load_rows("configs/own.py").items()} == {
        name: {*GAPS, "evaluate.working_size", "train.evaluate_images"}
        for name in ("mobilenet_v2", "mobilenet_v3", "resnet50", "resnet101", "slim")
    }
    for file in ("camvid", "voc", "ade20k", "cityscapes", "pascal_context", "shapes"):
        for row in load_rows(f"configs/{file}.py").values():
            assert not {*open_fields(row)} & {*GAPS}


def test_open_fields_survive_json():
    assert validate(ROW) == ROW
    from deeplab_tf.config import from_json

    assert from_json(to_json(ROW)) == ROW
