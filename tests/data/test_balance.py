"""Rare classes more often: the factors by hand, what is drawn, and where the counts come from."""

import dataclasses
import itertools
import math
from collections import Counter

import numpy as np
import pytest
from support.numbered_records import numbers_of, write_numbered
from support.tiny_voc import write_voc

from deeplab_tf.config import DataConfig
from deeplab_tf.data.balance import image_factors, with_balance
from deeplab_tf.data.mask_counts import count_masks, presence
from deeplab_tf.data.pipeline import labelled_images, training_batches
from deeplab_tf.data.records import open_records
from deeplab_tf.data.sources.voc import voc_source
from deeplab_tf.data.write_records import write_records

DATA = DataConfig(crop_size=4, min_scale=1.0, max_scale=1.0, shuffle_buffer=64)
# 16 images with class 0; class 1 in 4 of them, class 2 in one, class 3 in none, class 4 alone.
FILES = [[{0, 1}, {0}, {0}, {0, 1, 2}, {0}, {0}, {0}], [{0, 1}, {0, 255}, {0, 1}, *[{0}] * 6]]


def test_factors_by_hand():
    present = [0b00001] * 12 + [0b00011] * 3 + [0b00111] + [0]
    factors = image_factors(present, 5, threshold=1.0)
    assert factors[0] == pytest.approx(math.sqrt(17 / 16))
    assert factors[12:16] == pytest.approx([math.sqrt(17 / 4)] * 3 + [math.sqrt(17)])
    assert factors[16] == 1.0  # nothing but void
    # f of class 1 is 4/17, so a threshold below it leaves the class as it is.
    assert image_factors(present, 5, threshold=0.2)[12:16] == pytest.approx(
        [1.0] * 3 + [math.sqrt(0.2 * 17)]
    )


@pytest.mark.parametrize("threshold", [0.1, 0.5, 1.0])
def test_an_epoch_has_each_image_as_often_as_its_factor_says(threshold, tmp_path):
    split = write_numbered(tmp_path, FILES)
    factors = image_factors([b for file in presence(split, 5) for b in file], 5, threshold)
    balanced = with_balance(split, 5, threshold)
    epoch = balanced.num_examples
    assert epoch == math.floor(sum(factors) + 1e-9)
    dataset = training_batches(
        balanced, DATA, batch_size=1, seed=3, start_step=0, mean_pixel=(0.0, 0.0, 0.0)
    )
    drawn = Counter(numbers_of(dataset.take(epoch).as_numpy_iterator()))
    for number, factor in enumerate(factors):
        assert math.floor(factor) <= drawn[number] <= math.ceil(factor + 1e-9)
    # Neighbouring images together have their sum within one, so no class is rounded away.
    for first, last in itertools.combinations(range(len(factors) + 1), 2):
        wanted = sum(factors[first:last])
        assert abs(sum(drawn[n] for n in range(first, last)) - wanted) <= 1 + 1e-9


def test_without_a_threshold_nothing_is_read(tmp_path):
    split = dataclasses.replace(write_numbered(tmp_path, FILES), files=["nothing"])
    assert with_balance(split, 5, 0.0) is split


def test_masks_are_counted_by_file_and_record(tmp_path):
    counts = count_masks(write_numbered(tmp_path, [[{0, 255}, {2}], [{0, 1}]]), 3)
    assert counts.present == ((0b001, 0b100), (0b011,))
    assert counts.pixels == [16, 8, 16, 8]


def test_the_description_has_the_classes_of_each_record(tmp_path):
    source = voc_source(write_voc(tmp_path, train=[*"abcdefgh"], val=["i"]))
    records, _ = write_records(source, tmp_path / "data", workers=1)
    split = open_records(tmp_path / "data", "voc").split("train")
    flat = [bits for file in split.present for bits in file]
    for (_, _, mask), bits in zip(labelled_images(split), flat, strict=True):
        wanted = sum(1 << int(label) for label in np.unique(mask) if label != 255)
        assert bits == wanted > 0
    # Records of an older description are counted when the classes are asked for.
    older = dataclasses.replace(split, present=None)
    assert presence(older, 21) == split.present
    gone = dataclasses.replace(split, files=["nothing"])
    assert presence(gone, 21) == split.present
    assert records.split("val").present is not None
