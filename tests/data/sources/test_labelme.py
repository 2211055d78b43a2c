"""Labelme's shapes become pixels, and what is left out or wrong is named."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from support.tool_exports import (
    HEIGHT,
    WIDTH,
    Scene,
    boxed,
    corners,
    labelme_file,
    labelme_shape,
    one_image,
    only_mask,
    write,
)

from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOID

SCENE = Scene("a", ())
ROAD = labelme_shape("road", corners(0, 20, 60, 40))
CAR = labelme_shape("car", [[30, 25], [10, 35]], "rectangle")  # its corners in any order


def labelled(root, *shapes, orientation=1, **fields):
    one_image(root, "a.png", orientation)
    write(root / "a.json", {**labelme_file(SCENE, list(shapes)), **fields})
    return root


def test_a_rectangle_on_a_polygon(tmp_path):
    mask, source = only_mask("labelme", labelled(tmp_path, ROAD, CAR), name="streets")
    assert source.classes.dataset == "streets"
    assert source.classes.names == ("background", "car", "road")
    np.testing.assert_array_equal(mask, boxed((2, 0, 20, 60, 40), (1, 10, 25, 30, 35)))


def test_a_circle_has_the_pixels_within_its_radius(tmp_path):
    circle = labelme_shape("car", [[30, 20], [36, 28]], "circle")  # a radius of 10
    mask, _ = only_mask("labelme", labelled(tmp_path, circle))
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    distance = np.hypot(x - 30, y - 20)
    assert mask[distance < 9.75].all() and not mask[distance > 10.25].any()


@pytest.mark.parametrize("kind", ["line", "linestrip"])
def test_a_line_is_ten_pixels_wide(tmp_path, kind):
    line = labelme_shape("car", [[10, 20], [50, 20]], kind)
    mask, _ = only_mask("labelme", labelled(tmp_path, line))
    np.testing.assert_array_equal(mask, boxed((1, 10, 15, 50, 25)))


def test_a_bitmap_lies_at_its_corner(tmp_path):
    part, buffer = np.random.default_rng(0).integers(0, 2, (8, 12)) > 0, io.BytesIO()
    Image.fromarray(part).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    shape = labelme_shape("car", [[20.2, 10.4], [31.2, 17.4]], "mask", mask=data)
    mask, _ = only_mask("labelme", labelled(tmp_path, shape))
    expected = boxed()
    expected[10:18, 20:32] = part
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ("images/a.png", "..\\images\\a.png"),
        ("images/a.png", "../images/a.png"),
        ("images/a.png", "C:\\Users\\me\\a.png"),
        ("labels/a.png", "before_it_was_renamed.png"),
        ("labels/a.PNG", "a.png"),
    ],
)
def test_the_image_is_found(tmp_path, image, told):
    one_image(tmp_path, image)
    write(tmp_path / "labels" / "a.json", {**labelme_file(SCENE, [CAR]), "imagePath": told})
    mask, source = only_mask("labelme", tmp_path)
    assert mask.sum() == 200
    assert source.splits["train"][0].id == image.rpartition(".")[0]


def test_a_photo_turned_by_exif_has_its_mask_upright(tmp_path):
    """Labelme shows and measures the upright photo."""
    mask, _ = only_mask("labelme", labelled(tmp_path, CAR, orientation=6))
    assert mask.shape == (HEIGHT, WIDTH) and mask.sum() == 200


def test_what_is_left_out_is_said(tmp_path):
    point = labelme_shape("pole", [[3, 4]], "point")
    root = labelled(tmp_path, CAR, point)
    one_image(tmp_path, "unlabelled.png")
    write(tmp_path / "settings.json", {"theme": "dark"})
    _, source = only_mask("labelme", root)
    assert source.classes.names == ("background", "car")
    assert [note.split(";")[0] for note in source.notes] == [
        "1 JSON files are not Labelme's and were left out",
        "1 shapes are points, which have no area, and were left out",
        "1 images have no JSON and were left out",
    ]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (labelme_shape("car", [[1, 1], [9, 9]]), r"region 1 \(car\): a polygon has 4 numbers"),
        (labelme_shape("car", [[1, 1]], "circle"), r"shape 1 \(car\) is a circle of 1 points"),
        (labelme_shape("car", [[1, 1]], "heart"), "is a heart, which no reader knows"),
        (labelme_shape("car", corners(70, 1, 80, 9)), "lies outside the image of 60x40"),
        (labelme_shape("car", corners(1, 1, 9, 999)), "reaches far outside the image of 60x40"),
        (labelme_shape("car", [[1, 1], [2, 2]], "mask", mask="AAAA"), "a bitmap is broken"),
        (labelme_shape("car", [[1, 1], [2, float("nan")]], "rectangle"), "far outside the image"),
    ],
)
def test_a_shape_that_cannot_be_drawn_is_named(tmp_path, shape, message):
    with pytest.raises(DeeplabError, match=f"mask .*a.json cannot be drawn: .*{message}"):
        only_mask("labelme", labelled(tmp_path, shape))


def test_points_a_little_outside_are_cut_at_the_edge(tmp_path):
    shape = labelme_shape("car", corners(-5, -3, 10, 10))
    mask, _ = only_mask("labelme", labelled(tmp_path, shape))
    np.testing.assert_array_equal(mask, boxed((1, 0, 0, 10, 10)))


def test_a_region_hidden_by_later_ones_is_an_error_with_a_way_out(tmp_path):
    root = labelled(tmp_path, CAR, ROAD)
    with pytest.raises(DeeplabError, match=r"region 1 \(car\) is hidden .*--on_top=smaller"):
        only_mask("labelme", root)
    mask, _ = only_mask("labelme", root, on_top="smaller")
    np.testing.assert_array_equal(mask, boxed((2, 0, 20, 60, 40), (1, 10, 25, 30, 35)))


def test_the_list_of_labels_gives_order_background_and_void(tmp_path):
    ignored = labelme_shape("__ignore__", corners(40, 0, 60, 10))
    root = labelled(tmp_path, ROAD, CAR, ignored)
    (root / "labels.txt").write_text("__ignore__\n_background_\nroad\ncar\nbus\n")
    mask, source = only_mask("labelme", root)
    assert source.classes.names == ("background", "road", "car", "bus")
    boxes = ((1, 0, 20, 60, 40), (2, 10, 25, 30, 35), (VOID, 40, 0, 60, 10))
    np.testing.assert_array_equal(mask, boxed(*boxes))
    (root / "labels.txt").write_text("road\n")
    with pytest.raises(DeeplabError, match="region 2 has the class 'car', which is not declared"):
        only_mask("labelme", root)


def test_a_wrong_size_is_named(tmp_path):
    root = labelled(tmp_path, CAR, imageHeight=50)
    with pytest.raises(DeeplabError, match="mask .*a.json is 60x50 pixels and image .*is 60x40"):
        only_mask("labelme", root)


def test_an_image_that_only_the_json_holds_is_an_error(tmp_path):
    write(tmp_path / "a.json", {**labelme_file(SCENE, [CAR]), "imageData": "AAAA"})
    with pytest.raises(DeeplabError, match="is missing and only .*a.json holds it"):
        only_mask("labelme", tmp_path)


def test_two_files_of_one_image_are_an_error(tmp_path):
    root = labelled(tmp_path, CAR)
    write(root / "b.json", labelme_file(SCENE, [CAR]))
    with pytest.raises(DeeplabError, match="a.png is annotated twice, by .*a.json and .*b.json"):
        only_mask("labelme", root)
