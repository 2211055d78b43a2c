"""VIA's projects, JSON of both versions and CSV; the attribute that holds the class."""

import json

import numpy as np
import pytest
from support.tool_exports import (
    HEIGHT,
    WIDTH,
    boxed,
    corners,
    one_image,
    only_mask,
    via_region,
    write,
)

from deeplab_tf.errors import DeeplabError

RECT = {"name": "rect", "x": 10, "y": 5, "width": 20, "height": 10}


def region(shape, **attributes):
    return {"shape_attributes": shape, "region_attributes": attributes or {"class": "car"}}


def export(root, *regions, as_dict=False):
    """The JSON that VIA exports; version 1 numbers the regions."""
    one_image(root)
    given = {str(n): each for n, each in enumerate(regions)} if as_dict else list(regions)
    image = {"filename": "a.png", "size": 5, "regions": given, "file_attributes": {}}
    write(root / "via.json", {"a.png5": image})
    return root


@pytest.mark.parametrize("as_dict", [False, True])
def test_the_smaller_region_is_on_top(tmp_path, as_dict):
    road = via_region("road", corners(0, 0, 60, 40))
    mask, source = only_mask("via", export(tmp_path, region(RECT), road, as_dict=as_dict))
    assert source.classes.names == ("background", "car", "road")
    np.testing.assert_array_equal(mask, boxed((2, 0, 0, 60, 40), (1, 10, 5, 30, 15)))
    with pytest.raises(DeeplabError, match="is hidden by the regions after it"):
        only_mask("via", tmp_path, on_top="later")


@pytest.mark.parametrize(
    "shape",
    [
        {"name": "circle", "cx": 30, "cy": 20, "r": 8},
        {"name": "ellipse", "cx": 30, "cy": 20, "rx": 8, "ry": 8, "theta": 0.3},
    ],
)
def test_circles(tmp_path, shape):
    mask, _ = only_mask("via", export(tmp_path, region(shape)))
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    distance = np.hypot(x - 30, y - 20)
    assert mask[distance < 7.75].all() and not mask[distance > 8.25].any()


def test_a_table(tmp_path):
    one_image(tmp_path)
    one_image(tmp_path, "b.png")
    shape, attributes = (json.dumps(x).replace('"', '""') for x in (RECT, {"class": "car"}))
    write(
        tmp_path / "via.csv",
        "#filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,"
        f'region_attributes\na.png,5,"{{}}",1,0,"{shape}","{attributes}"\n'
        'b.png,5,"{}",0,0,"{}","{}"\n',
    )
    mask, source = only_mask("via", tmp_path, unlabelled="skip")
    np.testing.assert_array_equal(mask, boxed((1, 10, 5, 30, 15)))
    assert source.notes[0].startswith("1 images have no region and were left out")


def test_a_photo_turned_by_exif_has_its_mask_upright(tmp_path):
    root = export(tmp_path, region(RECT))
    one_image(root, orientation=8)
    mask, _ = only_mask("via", root)
    np.testing.assert_array_equal(mask, boxed((1, 10, 5, 30, 15)))


def test_the_class_is_the_one_attribute_that_all_regions_have(tmp_path):
    ticked = {"wheels": True, "road": False}
    root = export(
        tmp_path, region(RECT, kind=ticked, note="x"), region(RECT, kind={"wheels": True})
    )
    _, source = only_mask("via", root)
    assert source.classes.names == ("background", "wheels")
    export(root, region(RECT, kind="car", colour="red"))
    with pytest.raises(DeeplabError, match="--class_attribute. The attributes are: colour, kind"):
        only_mask("via", root)
    _, source = only_mask("via", root, class_attribute="colour")
    assert source.classes.names == ("background", "red")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (region({"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1, 2]}), "4 numbers"),
        (region({"name": "polygon", "all_points_x": [1, 2, 3]}), "'all_points_y' is missing"),
        (region({"name": "heart"}), "no reader knows a 'heart'"),
        (region(RECT, kind="car"), "its attribute 'class' names no class"),
        (region(RECT | {"x": 90}), "lies outside the image of 60x40"),
    ],
)
def test_a_region_that_cannot_be_drawn_is_named(tmp_path, changed, message):
    root = export(tmp_path, region(RECT), changed)
    with pytest.raises(DeeplabError, match=f"mask of image a.png in .* cannot be .*{message}"):
        only_mask("via", root, class_attribute="class")


def test_points_are_left_out_and_two_files_of_one_image_are_an_error(tmp_path):
    root = export(tmp_path, region(RECT), region({"name": "point", "cx": 1, "cy": 2}))
    _, source = only_mask("via", root)
    assert source.notes[0].startswith("1 regions are points or lines, which have no area")
    write(root / "again.json", json.loads((root / "via.json").read_text()))
    with pytest.raises(DeeplabError, match="again.json and .*via.json both have regions of a.png"):
        only_mask("via", root)
