"""Which classes are rare, who gives them, and what is pasted."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.config import DataConfig, Experiment
from deeplab_tf.data.augment import crop_by
from deeplab_tf.data.copy_paste import (
    check_rare_classes,
    describe_donors,
    donor_geometry,
    find_donors,
    paste,
    rare_classes,
)
from deeplab_tf.data.mask_counts import count_masks
from deeplab_tf.data.records import open_records
from deeplab_tf.errors import DeeplabError
from deeplab_tf.training.resolve import resolve_run


def test_a_class_below_half_of_an_equal_share_is_rare():
    # Of 5 classes and 1000 labelled pixels, those below 100; the 5000 void pixels do not count.
    assert rare_classes([700, 99, 100, 0, 101, 5000]) == (1,)
    assert rare_classes([50, 50, 7]) == ()


def test_only_the_pixels_of_the_classes_are_pasted():
    generator = np.random.default_rng(0)
    image, other = (generator.uniform(0, 255, (9, 8, 4)).astype(np.float32) for _ in range(2))
    mask, other_mask = (generator.integers(0, 6, (9, 8), np.uint8) for _ in range(2))
    got, labels = (part.numpy() for part in paste(image, mask, other, other_mask, (2, 5)))
    pasted = (other_mask == 2) | (other_mask == 5)
    np.testing.assert_array_equal(got, np.where(pasted[..., None], other, image))
    np.testing.assert_array_equal(labels, np.where(pasted, other_mask, mask))


@pytest.mark.parametrize("size", [(1, 1), (40, 30), (300, 200)], ids=str)
@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.5, 2.0)], ids=str)
def test_the_crop_of_a_donor_shows_the_rare_class(size, scale):
    data = DataConfig(crop_size=20, crop_width=24, min_scale=scale[0], max_scale=scale[1])
    generator = np.random.default_rng(1)
    image, places = np.zeros((*size, 3), np.uint8), set()
    for number in range(20):
        mask = np.zeros(size, np.uint8)
        row, column = (int(generator.integers(0, side)) for side in size)
        mask[row : row + 3, column : column + 3] = 4  # 3x3 is seen at half the size
        geometry = donor_geometry(
            tf.constant(mask), tf.constant([9, number], tf.int64), data, (1, 4)
        )
        size_now, offset = geometry.size.numpy(), geometry.offset.numpy()
        assert (offset >= 0).all() and (offset <= np.maximum(size_now - data.crop, 0)).all()
        shown = crop_by(geometry, tf.constant(image), tf.constant(mask), data, (0.0,) * 3)[1]
        if mask[row : row + 3, column : column + 3].size == 9 or scale[0] == 1:
            assert (shown.numpy() == 4).any()
        places |= set(map(tuple, np.argwhere(shown.numpy() == 4)))
    if size == (300, 200):
        # The class comes to every part of the crop, not to its middle alone.
        rows, columns = np.array(sorted(places)).T
        assert rows.min() < 4 and rows.max() >= 16 and columns.min() < 4 and columns.max() >= 20


def test_a_donor_without_the_class_gets_any_crop():
    geometry = donor_geometry(
        tf.zeros([50, 50], tf.uint8), tf.constant([9, 1], tf.int64), DataConfig(crop_size=9), (1,)
    )
    assert (geometry.offset.numpy() >= 0).all()


def test_donors_are_the_images_with_a_rare_class(shapes_data):
    records = open_records(shapes_data, "shapes")
    data = DataConfig(dataset="shapes", copy_paste=0.5)
    donors = find_donors(records, data)
    pixels = np.array(records.pixels["train"][:-1])
    rare = tuple(np.flatnonzero((pixels > 0) & (pixels < pixels.sum() / (2 * len(pixels)))))
    assert donors is not None and donors.classes == rare and rare
    present = count_masks(records.split("train"), records.classes.num_classes).present
    want = tuple(tuple(int(any(bits >> c & 1 for c in rare)) for bits in file) for file in present)
    assert donors.split.repeats == want
    assert donors.split.num_examples == sum(map(sum, want))
    assert find_donors(records, DataConfig(dataset="shapes")) is None
    line = describe_donors(donors, records.classes)
    assert f"{donors.split.num_examples} images give" in line and "\n" not in line
    assert [name for name in records.classes.names if name in line] == [
        records.classes.names[label] for label in rare
    ]


def test_a_data_set_without_a_rare_class_is_refused_in_one_line(shapes_data, tmp_path, monkeypatch):
    data = DataConfig(dataset="shapes", crop_size=33, copy_paste=0.5)
    records = open_records(shapes_data, "shapes")
    even = dataclasses.replace(records, pixels={"train": [100] * 6 + [0]})
    said = "copy_paste is 0.5, but each class of split train of shapes has 8.3 % of the pixels"
    with pytest.raises(DeeplabError, match=said) as error:
        check_rare_classes(even, data)
    assert "\n" not in str(error.value)
    check_rare_classes(even, DataConfig(dataset="shapes"))
    monkeypatch.setattr("deeplab_tf.training.resolve.open_records", lambda *_: even)
    with pytest.raises(DeeplabError, match=said):
        resolve_run(Experiment(data=data), shapes_data, tmp_path / "run")
