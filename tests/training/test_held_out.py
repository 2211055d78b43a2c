"""The evaluation of a training's network: figures, workers, devices, interruption, splits."""

import dataclasses
import pathlib
import threading

import numpy as np
import pytest
from support.random_model import random_trained_model
from support.train_processes import small

from deeplab_tf.config import Backbone, EvaluateConfig, StrategyName
from deeplab_tf.data.mixture import open_mixed_in
from deeplab_tf.data.pipeline import labelled_images
from deeplab_tf.data.records import open_records
from deeplab_tf.distributed.processes import Workers
from deeplab_tf.distributed.strategy import make_strategy, own_devices
from deeplab_tf.errors import DeeplabError
from deeplab_tf.evaluation.evaluate_split import evaluate_split
from deeplab_tf.images.classes import VOID
from deeplab_tf.inference.predictor import trained_predictor
from deeplab_tf.training.held_out import LOSS_UNITS, HeldOut
from deeplab_tf.training.held_out_split import HeldOutSplit, find_held_out

TINY = {"backbone": Backbone.RESNET_TINY, "multi_grid": (2,)}


@pytest.fixture(scope="module")
def trained():
    return random_trained_model(**TINY)


@pytest.fixture(scope="module")
def records(shapes_data):
    return open_records(shapes_data, "shapes")


@pytest.fixture(scope="module")
def split(records):
    return HeldOutSplit("val", records.split("val"))


def never():
    return 0


class PartOfAll(Workers):
    """Worker `index` of three that never meet: `given` is what it would add to the others'."""

    def __init__(self, index):
        super().__init__(("a:1", "b:2", "c:3"), index)
        self.given = None

    def sum(self, values):
        self.given = np.asarray(values)
        return self.given


def test_figures_are_those_of_deeplab_eval_and_of_numpy(trained, records, split):
    measured, stop = HeldOut(trained, split, [], Workers()).measure(never)
    expected = evaluate_split(trained_predictor(trained, EvaluateConfig()), records, "val")
    assert stop == 0 and measured.scores == expected.scores
    losses = []
    for _, image, mask in labelled_images(split.files):
        logits = trained.model(image[None], training=False).numpy()[0].astype(np.float64)
        logits -= logits.max(-1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        rows, columns = np.nonzero(mask != VOID)
        losses.append(-log_p[rows, columns, mask[rows, columns]])
    # The mean over pixels, which images have in unequal numbers.
    assert measured.loss == pytest.approx(np.concatenate(losses).mean(), rel=1e-5)


def test_three_workers_add_up_to_one(trained, split):
    alone = PartOfAll(0)
    alone.addresses = ()
    HeldOut(trained, split, [], alone).measure(never)
    parts = [PartOfAll(index) for index in range(3)]
    rounds = []
    for part in parts:
        calls = []
        HeldOut(trained, split, [], part).measure(lambda calls=calls: calls.append(0) or 0)
        rounds.append(len(calls))
    assert rounds == [2, 2, 2]  # four images: all take part in each round, or some would wait
    np.testing.assert_array_equal(sum(part.given for part in parts), alone.given)
    assert alone.given[-1] > LOSS_UNITS


def test_two_devices_are_one(trained, split):
    devices = own_devices(make_strategy(StrategyName.MIRRORED))
    assert len(devices) == 2 and own_devices(make_strategy(StrategyName.ONE)) == []
    held_out = HeldOut(trained, split, devices, Workers())
    used, score = set(), held_out._score

    def noting(image, mask):
        used.add(threading.get_ident())
        return score(image, mask)

    held_out._score = noting
    assert held_out.measure(never)[0] == HeldOut(trained, split, [], Workers()).measure(never)[0]
    assert len(used) == 2


def test_every_second_image(trained, records, split):
    experiment = small(evaluate_every=1, evaluate_images=2)
    found = find_held_out(experiment, records)
    assert (found.every, found.num_images) == (2, 2)
    part = PartOfAll(0)
    part.addresses = ()
    HeldOut(trained, found, [], part).measure(never)
    masks = [mask for _, _, mask in labelled_images(split.files)][::2]
    assert part.given[:-1].sum() == sum((mask != VOID).sum() for mask in masks)


def test_a_signal_ends_an_evaluation_after_the_image_under_way(trained, split):
    seen = []
    held_out = HeldOut(trained, split, [], Workers())
    assert held_out.measure(lambda: seen.append(0) or (15 if len(seen) == 2 else 0)) == (None, 15)
    assert len(seen) == 2
    assert held_out.measure(never)[0] is not None  # the next one begins anew


def test_scores_that_are_not_finite_name_the_image(split):
    trained = random_trained_model(**TINY)
    kernel, bias = trained.model.get_layer("logits").get_weights()
    trained.model.get_layer("logits").set_weights([kernel * np.nan, bias])
    with pytest.raises(DeeplabError, match="scores that are not finite for val_0000 of val"):
        HeldOut(trained, split, [], Workers()).measure(never)


def test_nothing_is_looked_for_where_the_run_is_not_evaluated(records):
    assert find_held_out(small(), dataclasses.replace(records, splits={})) is None


def with_split(experiment, split):
    evaluate_config = dataclasses.replace(experiment.evaluate, split=split)
    return dataclasses.replace(experiment, evaluate=evaluate_config)


def changed(records, **changes):
    """The data set without what a split needs."""
    splits, pixels = dict(records.splits), dict(records.pixels)
    if "empty" in changes:
        splits["val"] = dataclasses.replace(splits["val"], files=[], num_examples=0)
        pixels["val"] = [0] * len(pixels["val"])
    if "void" in changes:
        pixels["val"] = [0] * (len(pixels["val"]) - 1) + [100]
    if "absent" in changes:
        del splits["val"]
    return dataclasses.replace(records, splits=splits, pixels=pixels)


@pytest.mark.parametrize(
    ("split", "data", "said"),
    [
        ("train", {}, "Received: train, the split that is trained on; give another --config.eval"),
        ("val", {"empty": True}, "Received: val, which has no image;"),
        ("val", {"void": True}, "Received: val, whose masks are not public, or void everywhere;"),
        ("val", {"absent": True}, r"Received: val, and data set shapes has no such split \(splits"),
    ],
)
def test_a_split_that_cannot_be_evaluated_is_one_line(records, split, data, said):
    experiment = with_split(small(evaluate_every=7), split)
    with pytest.raises(DeeplabError, match=said) as error:
        find_held_out(experiment, changed(records, **data))
    assert "evaluated on it every 7 steps" in str(error.value)
    assert str(error.value).endswith("or --config.train.evaluate_every=0")
    assert "\n" not in str(error.value)


def test_a_split_that_is_mixed_in_is_trained_on(records):
    experiment = small(evaluate_every=1)
    experiment.data.mixed_in = ("shapes/val:0.5",)
    mixed_in = open_mixed_in(pathlib.Path(records.folder).parents[1], experiment.data, records)
    with pytest.raises(DeeplabError, match="val, the split that is trained on"):
        find_held_out(experiment, records, mixed_in)


def test_a_split_of_another_name_is_found_and_one_inside_the_other_is_noted(records):
    splits = {"training": records.splits["train"], "validation": records.splits["val"]}
    pixels = {"training": records.pixels["train"], "validation": records.pixels["val"]}
    renamed = dataclasses.replace(records, splits=splits, pixels=pixels)
    experiment = small(evaluate_every=1)
    assert find_held_out(experiment, renamed).name == "validation"
    assert find_held_out(experiment, records).note is None
    experiment.data.split = "trainval"
    note = find_held_out(experiment, records).note
    assert note.startswith("note: by its name, trainval has the images of val")
