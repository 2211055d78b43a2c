"""What the names of splits say: which is held out from which, which is trained on."""

import pytest

from deeplab_tf.data.split_names import (
    held_out_from,
    held_out_split,
    may_share_images,
    training_split,
)


@pytest.mark.parametrize(
    ("split", "other", "held_out"),
    [
        ("val", "train", True),
        ("val", "trainaug", True),
        ("val", "trainval", False),
        ("val", "val", False),
        ("test", "trainval", True),
        ("test", "train", True),
        ("test", "val", False),
        ("train", "val", False),
        ("trainval", "train", False),
        ("dev_val", "dev_train", True),
        ("dev_val", "train", False),
        ("validation", "training", True),
        ("Val2017", "Train2017", True),
        ("val2017", "train2014", False),
    ],
)
def test_which_split_is_held_out_from_which(split, other, held_out):
    assert held_out_from(split, other) is held_out


@pytest.mark.parametrize(
    ("split", "other", "shares"),
    [
        ("val", "trainval", True),
        ("train", "trainaug", True),
        ("Val", "TrainVal", True),
        ("val", "train", False),
        ("val", "trainaug", False),
        ("test", "trainval", False),
        ("a", "train", False),
    ],
)
def test_a_split_that_is_part_of_another_by_its_name(split, other, shares):
    assert may_share_images(split, other) is shares


@pytest.mark.parametrize(
    ("names", "wanted", "held_out"),
    [
        (("train", "val", "test"), "val", "val"),
        (("train", "valid"), "val", "valid"),
        (("train", "Validation", "test"), "val", "Validation"),
        (("train", "testing"), "val", "testing"),
        (("train", "val_a", "val_b"), "val", "val"),
        (("train", "trainval"), "val", "val"),
        (("train", "val"), "test", "val"),
    ],
)
def test_the_split_to_evaluate_on(names, wanted, held_out):
    assert held_out_split(names, wanted) == held_out


@pytest.mark.parametrize(
    ("names", "split"),
    [
        (("train", "trainval", "val"), "train"),
        (("training", "validation"), "training"),
        (("train_a", "train_b"), "train"),
        (("val",), "train"),
    ],
)
def test_the_split_to_train_on(names, split):
    assert training_split(names, "train") == split
