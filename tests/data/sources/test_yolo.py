"""YOLO's text and its YAML: splits, names and paths as tools write them."""

import numpy as np
import pytest
import yaml
from support.tool_exports import boxed, one_image, only_mask, write

from deeplab_tf.data.sources.choices import Choices
from deeplab_tf.data.sources.yolo import yolo_source
from deeplab_tf.errors import DeeplabError

ROAD = "0 0 0.5 1 0.5 1 1 0 1\n"
CAR = "1 0.5 0.75 0.75 0.75 0.75 0.875 0.5 0.875\n"


def export(root, text=CAR + ROAD, **fields):
    """images/train and labels/train, as Ultralytics lays them out."""
    one_image(root, "images/train/a.png")
    write(root / "labels/train/a.txt", text)
    content = {"path": "../datasets/streets", "train": "images/train", "names": ["road", "car"]}
    write(root / "data.yaml", yaml.safe_dump(content | fields))
    return root


@pytest.mark.parametrize("names", [["road", "car"], {0: "road", 1: "car"}])
def test_the_smaller_polygon_is_on_top(tmp_path, names):
    mask, source = only_mask("yolo", export(tmp_path, names=names))
    assert source.classes.names == ("background", "road", "car")
    np.testing.assert_array_equal(mask, boxed((1, 0, 20, 60, 40), (2, 30, 30, 45, 35)))


def test_splits_are_folders_or_lists(tmp_path):
    root = export(tmp_path, train="train.txt", val="images/val", test=None)
    write(root / "train.txt", "data/images/train/a.png\n")
    one_image(root, "images/val/b.png")
    source = yolo_source(root, Choices())
    assert {s: [p.id for p in ps] for s, ps in source.splits.items()} == {
        "train": ["images/train/a"],
        "val": ["images/val/b"],
    }
    assert source.notes[0].startswith("1 images have no region and are background everywhere")


def test_a_list_of_classes_stands_for_a_yaml(tmp_path):
    """Label Studio exports YOLO so."""
    write(tmp_path / "classes.txt", "road\ncar\n")
    one_image(tmp_path, "images/a.png")
    write(tmp_path / "labels/a.txt", CAR)
    mask, source = only_mask("yolo", tmp_path)
    assert source.classes.names == ("background", "road", "car")
    np.testing.assert_array_equal(mask, boxed((2, 30, 30, 45, 35)))
    for split in ("train", "val"):
        one_image(tmp_path, f"images/{split}/{split}.png")
        write(tmp_path / f"labels/{split}/{split}.txt", CAR)
    assert {*yolo_source(tmp_path, Choices()).splits} == {"train", "val"}


def test_labels_without_images_and_images_without_labels(tmp_path):
    root = export(tmp_path)
    write(root / "labels/train/gone.txt", CAR)
    _, source = only_mask("yolo", root)
    assert source.notes[0].startswith("1 label files have no image and were left out")
    (root / "labels").rename(root / "elsewhere")
    with pytest.raises(DeeplabError, match="none of the 1 images of .* has a region"):
        only_mask("yolo", root)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.2 0.2", "line 1 is a box of detection and no polygon"),
        ("0 0.1 0.1 0.2 0.2 0.3", "line 1 has 5 numbers"),
        ("7 0.1 0.1 0.2 0.2 0.3 0.1", "line 1 has the class 7, and data.yaml has"),
        ("0 10 10 20 20 30 10", "has points outside the image; x and y must be in 0..1"),
        ("0 a b c d e f", "could not convert"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, message):
    with pytest.raises(DeeplabError, match=f"mask .*a.txt cannot be drawn: .*{message}"):
        only_mask("yolo", export(tmp_path, line + "\n"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("names: [road", "cannot be read: while parsing a flow sequence"),
        ("train: images", "has no names of classes"),
        ("names: road\ntrain: images", "names must be a list"),
        ("names: {a: road}\ntrain: images", "names must be a list"),
        ("names: [[road], [car]]\ntrain: images", "names must be a list"),
        ("names: [road, road]\ntrain: images", "names has a name twice"),
        ("names: [road]\ntrain: photos", "train is 'photos', which is not there"),
    ],
)
def test_a_wrong_yaml_is_named(tmp_path, content, message):
    root = export(tmp_path)
    write(root / "data.yaml", content)
    with pytest.raises(DeeplabError, match=f"data.yaml:? .*{message}"):
        yolo_source(root, Choices())
