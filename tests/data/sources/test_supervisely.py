"""Supervisely's bitmaps, rectangles and holes; its data sets as splits."""

import numpy as np
import pytest
from support.tool_exports import (
    HEIGHT,
    WIDTH,
    boxed,
    corners,
    one_image,
    only_mask,
    supervisely_bitmap,
    supervisely_object,
    write,
)

from deeplab_tf.data.sources.choices import Choices
from deeplab_tf.data.sources.supervisely import supervisely_source
from deeplab_tf.errors import DeeplabError

CLASSES = [
    {"title": "road", "shape": "polygon", "color": "#804080"},
    {"title": "car", "shape": "bitmap", "color": "#00008E"},
]


def export(root, *objects, data_set="ds1", ann="a.png.json"):
    write(root / "meta.json", {"classes": CLASSES, "tags": []})
    one_image(root, f"{data_set}/img/a.png")
    content = {"size": {"height": HEIGHT, "width": WIDTH}, "objects": list(objects)}
    write(root / data_set / "ann" / ann, content)
    return root


def polygon(name, exterior, *interior):
    points = {"exterior": exterior, "interior": list(interior)}
    return supervisely_object(name, "polygon", points=points)


@pytest.mark.parametrize("ann", ["a.png.json", "a.json"])
def test_a_bitmap_on_a_polygon_with_a_hole(tmp_path, ann):
    part = np.random.default_rng(0).random((6, 9)) < 0.5
    road = polygon("road", corners(0, 0, 60, 30), corners(5, 5, 15, 15))
    car = supervisely_object("car", "bitmap", **supervisely_bitmap(part, 30, 10))
    mask, source = only_mask("supervisely", export(tmp_path, road, car, ann=ann))
    assert source.classes.names == ("background", "road", "car")
    assert source.classes.palette == ((0, 0, 0), (128, 64, 128), (0, 0, 142))
    expected = boxed((1, 0, 0, 60, 30), (0, 5, 5, 15, 15))
    expected[10:16, 30:39][part] = 2
    np.testing.assert_array_equal(mask, expected)


def test_both_corners_of_a_rectangle_are_pixels_of_it(tmp_path):
    points = {"exterior": [[10, 5], [19, 9]], "interior": []}
    rectangle = supervisely_object("car", "rectangle", points=points)
    mask, _ = only_mask("supervisely", export(tmp_path, rectangle))
    np.testing.assert_array_equal(mask, boxed((2, 10, 5, 20, 10)))


def test_data_sets_called_as_splits_are_splits(tmp_path):
    car = polygon("car", corners(0, 0, 9, 9))
    for data_set in ("train", "val"):
        export(tmp_path, car, data_set=data_set)
    source = supervisely_source(tmp_path, Choices())
    assert {s: [p.id for p in ps] for s, ps in source.splits.items()} == {
        "train": ["train/a"],
        "val": ["val/a"],
    }


def test_what_is_left_out_is_said_and_missing_images_are_named(tmp_path):
    point = supervisely_object("car", "point", points={"exterior": [[1, 2]], "interior": []})
    root = export(tmp_path, polygon("car", corners(0, 0, 9, 9)), point)
    one_image(root, "ds1/img/b.png")
    _, source = only_mask("supervisely", root)
    assert [note.split(";")[0] for note in source.notes] == [
        "1 objects have no area and were left out",
        "1 images have no annotation and were left out",
    ]
    (root / "ds1/img/a.png").unlink()
    with pytest.raises(DeeplabError, match="image .*ds1/img/a.png is missing"):
        only_mask("supervisely", root)


@pytest.mark.parametrize(
    ("each", "message"),
    [
        (polygon("bus", corners(0, 0, 9, 9)), "has the class 'bus', which is not declared"),
        (polygon("car", [[1, 1], [2, 2]]), "a polygon has 4 numbers"),
        (supervisely_object("car", "heart"), "object 1 is a heart, which no reader knows"),
        (
            supervisely_object("car", "bitmap", bitmap={"data": "eJw=", "origin": [0, 0]}),
            "a bitmap is cut",
        ),
        (
            supervisely_object("car", "bitmap", **supervisely_bitmap(np.ones((2, 2)), 59, 0)),
            "2x2 pixels at x=59, y=0 reaches beyond",
        ),
    ],
)
def test_an_object_that_cannot_be_drawn_is_named(tmp_path, each, message):
    with pytest.raises(DeeplabError, match=f"mask .*a.png.json cannot be drawn: .*{message}"):
        only_mask("supervisely", export(tmp_path, each))
