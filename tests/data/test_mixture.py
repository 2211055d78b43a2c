"""Several data sets in one training: shares, order, resume, shards, devices, refusals."""

import dataclasses
import pathlib
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
import tensorflow as tf
from support.numbered_records import numbers_of, write_numbered

from deeplab_tf.config import DataConfig, Experiment, validate
from deeplab_tf.config.mixing import MixedIn, parse_mixed_in
from deeplab_tf.data.mixture import (
    MixedSplit,
    examples_before,
    make_pattern,
    mixed_fingerprint,
    mixed_longest_side,
    open_mixed_in,
    shown_pixels,
)
from deeplab_tf.data.pipeline import training_batches
from deeplab_tf.data.records import Records
from deeplab_tf.data.sources.voc import voc_source
from deeplab_tf.data.write_records import write_records
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOC, Classes

CLASSES = Classes("drone", ("a", "b"), ((0, 0, 0), (255, 255, 255)))
DATA = DataConfig(crop_size=4, min_scale=1.0, max_scale=1.0, shuffle_buffer=64)


def records_of(split, name="drone", fingerprint="f", pixels=(80, 16, 0)):
    classes = dataclasses.replace(CLASSES, dataset=name)
    return Records(pathlib.Path(name), classes, {"train": split}, {"train": pixels}, fingerprint)


def mixed(split, share, name="drone", **fields):
    return MixedSplit(records_of(split, name, **fields), "train", split, Fraction(share))


@pytest.fixture
def sources(tmp_path):
    """Images 0 to 10 of the own data set; 100 to 104 and 200 to 202 of two others."""
    own = write_numbered(tmp_path, [[{0}] * 6, [{0}] * 5], name="own")
    drone = write_numbered(tmp_path, [[{0}] * 5], first=100, name="drone")
    night = write_numbered(tmp_path, [[{0}] * 3], first=200, name="night")
    return own, (mixed(drone, "0.3"), mixed(night, "0.125", "night"))


def batches(sources, steps, start_step=0, **shard):
    own, others = sources
    dataset = training_batches(
        own,
        DATA,
        batch_size=8,
        seed=1,
        start_step=start_step,
        mean_pixel=(0.0, 0.0, 0.0),
        mixed_in=others,
        **shard,
    )
    return list(dataset.take(steps).as_numpy_iterator())


@pytest.mark.parametrize(
    "shares",
    [["0.7", "0.3"], ["0.999", "0.001"], ["0.5", "0.333", "0.167"], ["0.575", "0.3", "0.125"],
     ["0.2"] * 5, ["0.9", *["0.025"] * 4], ["0.31", "0.29", "0.17", "0.13", "0.07", "0.03"]],
)  # fmt: skip
def test_each_source_has_its_share_of_any_number_of_examples_within_one(shares):
    shares = [Fraction(share) for share in shares]
    pattern = make_pattern(shares)
    assert len(pattern) <= 1000
    for source, share in enumerate(shares):
        counts = np.cumsum(pattern == source)
        wanted = np.arange(1, len(pattern) + 1) * float(share)
        assert counts[-1] == share * len(pattern)
        assert np.abs(counts - wanted).max() < 1
        for index in (0, 1, 7, len(pattern), 3 * len(pattern) + 5):
            whole = np.tile(pattern, 4)[:index]
            assert examples_before(pattern, source, index) == np.count_nonzero(whole == source)


def test_what_is_drawn_has_the_shares_and_every_image_of_each_source(sources):
    numbers = numbers_of(batches(sources, 100))
    drawn = Counter(number // 100 for number in numbers)
    assert drawn == {0: 460, 1: 240, 2: 100}
    by_image = Counter(numbers)
    assert {by_image[n] for n in range(11)} == {41, 42}  # 460 of 11 images
    assert {by_image[n] for n in range(100, 105)} == {48}
    assert {by_image[n] for n in range(200, 203)} == {33, 34}
    orders = {tuple(n for n in numbers if 100 <= n < 200)[k : k + 5] for k in range(0, 100, 5)}
    assert len(orders) > 10  # each epoch of a source has its own order


def test_starting_at_a_step_equals_going_there(sources):
    whole = batches(sources, 12)
    for start_step in (1, 5, 11):
        late = batches(sources, 12 - start_step, start_step)
        for got, want in zip(late, whole[start_step:], strict=True):
            np.testing.assert_array_equal(got[0], want[0])
            np.testing.assert_array_equal(got[1], want[1])


def test_shards_and_parts_are_slices_of_the_global_batch(sources):
    whole = numbers_of(batches(sources, 4, start_step=3))
    shards = [
        numbers_of(batches(sources, 8, 3, shard_index=k, num_shards=2, parts=2)) for k in (0, 1)
    ]
    together = np.concatenate([np.reshape(shard, (4, 4)) for shard in shards], axis=1)
    assert together.ravel().tolist() == whole


def test_two_devices_get_the_examples_of_one(sources):
    own, others = sources
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    distributed = iter(
        strategy.distribute_datasets_from_function(
            lambda context: training_batches(
                own, DATA, batch_size=8, seed=1, start_step=0, mean_pixel=(0.0,) * 3,
                mixed_in=others, parts=context.num_replicas_in_sync,
            )
        )
    )  # fmt: skip
    for images, _ in batches(sources, 3):
        parts = strategy.experimental_local_results(next(distributed)[0])
        np.testing.assert_array_equal(np.concatenate(parts), images)


def test_mixing_in_leaves_the_own_order_as_it_is(sources):
    own, _ = sources
    alone = [n for n in numbers_of(batches((own, ()), 6))]
    mixed_numbers = [n for n in numbers_of(batches(sources, 8)) if n < 100]
    assert mixed_numbers[:30] == alone[:30]


def test_entries():
    assert parse_mixed_in(("drone:0.3", "city/train_extra:.125")) == [
        MixedIn("drone", None, Fraction(3, 10)),
        MixedIn("city", "train_extra", Fraction(1, 8)),
    ]


@pytest.mark.parametrize(
    "entries",
    [("drone",), ("drone:1",), ("drone:0.0",), ("drone:0.1234",), ("drone:-.1",), ("a b:0.1",),
     ("a:0.5", "b:0.5"), ("/x:0.5",), ("",)],
)  # fmt: skip
def test_entries_that_break_the_rule_are_refused(entries):
    experiment = Experiment(data=DataConfig(mixed_in=entries))
    with pytest.raises(DeeplabError, match=r"config\.data\.mixed_in must be entries NAME:SHARE"):
        validate(experiment)


def test_balance_and_duplicates_exclude_each_other():
    data = DataConfig(balance=0.1, duplicate_classes=("chair",))
    with pytest.raises(DeeplabError, match=r"config\.data\.balance must be 0 to 1, and 0 where"):
        validate(Experiment(data=data))


def test_fingerprint_and_pixels_stand_for_all_data_sets(sources):
    own, others = sources
    records = records_of(own, "own", "x", (110, 66, 0))
    assert mixed_fingerprint(records, ()) == "x"
    prints = {mixed_fingerprint(records, others[:k]) for k in range(3)}
    assert len(prints) == 3
    assert shown_pixels(records, "train", ()) == [110, 66, 0]
    # 10 and 6 pixels an image of the own set, 16 and 3.2 of drone's.
    assert shown_pixels(records, "train", others[:1]) == pytest.approx(
        [0.7 * 10 + 0.3 * 16, 0.7 * 6 + 0.3 * 3.2, 0]
    )


@pytest.mark.parametrize(
    ("sides", "longest"),
    [((500, 300, 400), 500), ((300, 500, 400), 500), ((300, 0, 400), 0), ((0, 300, None), 0),
     ((300, None, 500), None)],
)  # fmt: skip
def test_the_longest_side_is_that_of_all_data_sets(sides, longest, sources):
    own, others = sources
    first, *rest = [dataclasses.replace(records_of(own), longest_side=side) for side in sides]
    others = [
        dataclasses.replace(part, records=records)
        for part, records in zip(others, rest, strict=True)
    ]
    assert mixed_longest_side(first, others) == longest
    assert mixed_longest_side(first, ()) == sides[0]


def test_data_sets_that_do_not_fit_are_named(tmp_path):
    from support.tiny_voc import write_voc

    folder = write_voc(tmp_path, train=["a"], val=["b"])
    records, _ = write_records(voc_source(folder), tmp_path, workers=1)
    fewer = Classes("few", VOC.names[:20], VOC.palette[:20])

    def opened(*entries, **fields):
        data = DataConfig(dataset="voc", mixed_in=entries)
        return open_mixed_in(tmp_path, data, dataclasses.replace(records, **fields))

    (part,) = opened("voc/val:0.25")
    assert (part.name, part.share, part.split.num_examples) == ("val", Fraction(1, 4), 1)
    assert str(part) == "25.0% of voc/val"
    for entries, fields, words in (
        (("voc:0.5",), {}, "voc/train, which the training has already"),
        (("voc/val:0.1", "voc/val:0.2"), {}, "voc/val, which the training has already"),
        (("none:0.5",), {}, "has no data set 'none'"),
        (("voc/none:0.5",), {}, "has no split 'none'"),
        (("voc/val:0.5",), {"classes": fewer}, "whose classes are not those of few"),
    ):
        with pytest.raises(DeeplabError, match=words) as error:
            opened(*entries, **fields)
        assert "\n" not in str(error.value)
