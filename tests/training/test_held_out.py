"""The evaluation of a training's network: figures, workers, devices, interruption, splits."""

import dataclasses
import pathlib
import re
import threading
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from support.random_model import random_trained_model
from support.train_processes import small

from deeplab_tf.config import Backbone, EvaluateConfig, StrategyName
from deeplab_tf.data.mixture import MixedSplit, open_mixed_in
from deeplab_tf.data.pipeline import labelled_images
from deeplab_tf.data.records import open_records
from deeplab_tf.data.sources.shapes import write_shapes_devkit
from deeplab_tf.data.sources.voc import voc_source
from deeplab_tf.data.write_records import write_records
from deeplab_tf.distributed.processes import Workers
from deeplab_tf.distributed.strategy import make_strategy, own_devices
from deeplab_tf.errors import DeeplabError
from deeplab_tf.evaluation.evaluate_split import evaluate_split
from deeplab_tf.images.classes import SHAPES, VOID
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
    found, notes = find_held_out(experiment, records)
    assert (found.every, found.num_images, notes) == (2, 2, [])
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


def test_a_mask_with_a_label_that_is_no_class_names_the_image(trained, split, monkeypatch):
    held_out = HeldOut(trained, split, [], Workers())
    (name, image, mask), *rest = labelled_images(split.files)
    mask = mask.copy()
    mask[3, 5] = 7
    monkeypatch.setattr(held_out, "_examples", lambda: iter([(name, image, mask), *rest]))
    said = f"example {name}: the truth has label 7 at row 3, column 5; classes are 0..5"
    with pytest.raises(DeeplabError, match=re.escape(said)):
        held_out.measure(never)


def test_nothing_is_looked_for_where_the_run_is_not_evaluated(records):
    assert find_held_out(small(), dataclasses.replace(records, splits={})) == (None, [])


def with_split(experiment, split):
    evaluate_config = dataclasses.replace(experiment.evaluate, split=split)
    return dataclasses.replace(experiment, evaluate=evaluate_config)


def changed(records, **changes):
    """The data set without what a split needs, or with a split of an odd name."""
    splits, pixels = dict(records.splits), dict(records.pixels)
    if "empty" in changes:
        splits["val"] = dataclasses.replace(splits["val"], files=[], num_examples=0)
        pixels["val"] = [0] * len(pixels["val"])
    if "void" in changes:
        pixels["val"] = [0] * (len(pixels["val"]) - 1) + [100]
    if "absent" in changes:
        del splits["val"]
    if "odd" in changes:
        splits["dev"], pixels["dev"] = records.splits["val"], records.pixels["val"]
    return dataclasses.replace(records, splits=splits, pixels=pixels)


FAULTS = [
    ({"empty": True}, "val, which has no image"),
    ({"void": True}, "val, whose masks are not public, or void everywhere"),
    ({"absent": True}, "val, and data set shapes has no such split (splits are train)"),
    (
        {"absent": True, "odd": True},
        "val, and data set shapes has no such split (splits are train, dev)",
    ),
]


@pytest.mark.parametrize(("data", "fault"), FAULTS)
def test_a_data_set_without_a_held_out_split_is_trained_on_and_not_evaluated(records, data, fault):
    """The command that deeplab-prepare prints works whatever splits the data set has."""
    found, notes = find_held_out(small(evaluate_every=7), changed(records, **data))
    why = f"since config.evaluate.split is {fault}"
    assert (found, notes) == (None, [f"note: the run is not evaluated while it trains, {why}"])


def check_refused(experiment, records, said):
    with pytest.raises(DeeplabError, match=re.escape(f"Received: {said}; give another")) as error:
        find_held_out(experiment, records)
    assert "evaluated on it every 7 steps" in str(error.value)
    train, last = experiment.train, "or --config.train.evaluate_every=0"
    chosen = "" if train.keep == "last" else " without train.keep=best"
    assert str(error.value).endswith(
        last + (" without train.patience" if train.patience else chosen)
    )
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("choosing", [{"keep": "best"}, {"patience": 3}])
@pytest.mark.parametrize(("data", "fault"), FAULTS)
def test_a_choice_needs_a_split_that_can_be_evaluated(records, data, fault, choosing):
    check_refused(small(evaluate_every=7, **choosing), changed(records, **data), fault)


@pytest.mark.parametrize(
    ("split", "data", "said"),
    [
        ("train", {}, "train, the split that is trained on"),
        ("dve", {"absent": True, "odd": True}, "dve, and data set shapes has no such split ("),
    ],
)
def test_a_wrong_split_that_is_given_is_refused(records, split, data, said):
    experiment, records = with_split(small(evaluate_every=7), split), changed(records, **data)
    if said.endswith("("):
        said += f"splits are {', '.join(records.splits)})"
    check_refused(experiment, records, said)


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
    experiment.data.split = "training"
    found, notes = find_held_out(experiment, renamed)
    assert found.name == "validation"
    assert notes == ["note: shapes has no split val, so the run is evaluated on validation"]
    experiment.data.split = "trainval"
    _, notes = find_held_out(experiment, records)
    (note,) = notes
    assert note.startswith("note: by its name, trainval has the images of val")


def test_a_choice_by_the_test_split_is_said(records):
    data = {
        "splits": {"train": records.splits["train"], "test": records.splits["val"]},
        "pixels": {"train": records.pixels["train"], "test": records.pixels["val"]},
    }
    tested = dataclasses.replace(records, **data)
    said = "note: shapes has no split val, so the run is evaluated on test"
    assert find_held_out(small(evaluate_every=1), tested)[1] == [said]
    for choosing, names in (
        ({"keep": "best"}, "train.keep=best"),
        ({"keep": "best", "patience": 2}, "train.keep=best and train.patience"),
    ):
        found, (note,) = find_held_out(small(evaluate_every=1, **choosing), tested)
        assert found.name == "test"
        assert note.startswith(f"{said}; {names} would choose by the images of the test")


@pytest.mark.parametrize("choosing", [{"keep": "best"}, {"patience": 3}])
def test_no_choice_is_made_by_images_that_are_trained_on(records, choosing):
    experiment = small(evaluate_every=7, **choosing)
    assert find_held_out(experiment, records)[0].name == "val"
    experiment.data.split = "trainval"
    fault = "val, whose images trainval has by its name, so that "
    with pytest.raises(DeeplabError, match=fault + "train.* would choose by them; give another"):
        find_held_out(experiment, records)


def test_a_split_that_is_mixed_in_may_have_the_images(records):
    trainval = MixedSplit(records, "trainval", records.splits["train"], Fraction(1, 2))
    _, notes = find_held_out(small(evaluate_every=1), records, [trainval])
    assert [note[:53] for note in notes] == [
        "note: by its name, trainval has the images of val, so"
    ]
    elsewhere = dataclasses.replace(records.classes, dataset="elsewhere")
    other = dataclasses.replace(trainval, records=dataclasses.replace(records, classes=elsewhere))
    assert find_held_out(small(evaluate_every=1), records, [other])[1] == []


def test_a_subset_without_a_labelled_pixel_is_seen_before_the_first_step(tmp_path):
    """Only the last of three records has a labelled pixel."""
    write_shapes_devkit(tmp_path / "VOCdevkit", train=1, val=3, seed=0)
    source = voc_source(tmp_path / "VOCdevkit", classes=SHAPES)
    for name in ("val_0000", "val_0002"):
        (path,) = (tmp_path / "VOCdevkit").rglob(f"SegmentationClass/{name}.png")
        with Image.open(path) as mask:
            size = mask.size
        Image.new("L", size, VOID).save(path)
    records = write_records(source, tmp_path / "data")[0]
    (present,) = records.split("val").present
    assert [bool(bits) for bits in present] == [False, False, True]  # in the order of the records
    found, notes = find_held_out(small(evaluate_every=7, evaluate_images=1), records)
    assert found is None and "takes only images without a labelled pixel" in notes[0]
    with pytest.raises(DeeplabError, match="val, of which train.evaluate_images=1 takes only"):
        find_held_out(small(evaluate_every=7, evaluate_images=1, keep="best"), records)
    assert find_held_out(small(evaluate_every=7, evaluate_images=2), records)[0].every == 2
    # Records of before, whose description does not say the classes in each.
    older = dataclasses.replace(records.split("val"), present=None)
    records.splits["val"] = older
    assert find_held_out(small(evaluate_every=7, evaluate_images=1), records)[0] is None
    assert find_held_out(small(evaluate_every=7, evaluate_images=2), records)[0].every == 2
