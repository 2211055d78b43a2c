"""Label Studio's results in percent, its brushes, its addresses of images, its annotators."""

import numpy as np
import pytest
from support.tool_exports import (
    HEIGHT,
    WIDTH,
    boxed,
    corners,
    label_studio_task,
    one_image,
    only_mask,
    pack_brush,
    percent_result,
    write,
)

from deeplab_tf.data.sources.brush import unpack
from deeplab_tf.data.sources.rasterise import MalformedRegionError
from deeplab_tf.errors import DeeplabError

RECTANGLE = {"x": 25, "y": 50, "width": 50, "height": 25, "rotation": 0}  # 15..45, 20..30
CAR = percent_result("rectanglelabels", RECTANGLE, "car")


def export(root, *results, **changes):
    one_image(root)
    write(root / "export.json", [label_studio_task("a.png", list(results)) | changes])
    return root


def brush(mask, name="road"):
    return percent_result("brushlabels", {"format": "rle", "rle": pack_brush(mask)}, name)


def test_a_brush_has_its_pixels_and_later_results_are_on_top(tmp_path):
    painted = np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.4
    painted[5:15] = True
    mask, source = only_mask("label_studio", export(tmp_path, brush(painted), CAR))
    assert source.classes.names == ("background", "car", "road")
    expected = np.where(boxed((1, 15, 20, 45, 30)) == 1, 1, 2 * painted)
    np.testing.assert_array_equal(mask, expected)


def test_the_packed_values_of_the_reference():
    """Written out by hand: 12 values of 8 bits, one run of 4 zeros and 8 single values."""
    bits = f"{12:032b}{7:05b}" + f"{2:04b}{3:04b}{7:04b}{15:04b}"
    bits += "100" + f"{3:03b}" + f"{0:08b}" + "001" + f"{7:04b}"
    bits += "".join(f"{value:08b}" for value in range(1, 9))
    data = bytes(int(bits[n : n + 8].ljust(8, "0"), 2) for n in range(0, len(bits), 8))
    assert unpack(data).tolist() == [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    for cut in range(len(data)):
        with pytest.raises(MalformedRegionError, match="a brush is cut"):
            unpack(data[:cut])


def test_a_rectangle_turns_about_its_corner(tmp_path):
    """A right angle clockwise about (15, 20) leads from the right of the point to below it."""
    turned = percent_result("rectanglelabels", {**RECTANGLE, "height": 12.5, "rotation": 90}, "car")
    turned["value"]["width"] = 25  # 15 pixels, which go down; the height of 5 goes to the left
    mask, _ = only_mask("label_studio", export(tmp_path, turned))
    np.testing.assert_array_equal(mask, boxed((1, 10, 20, 15, 35)))


def test_an_ellipse(tmp_path):
    value = {"x": 50, "y": 50, "radiusX": 20, "radiusY": 10, "rotation": 0}  # 12 and 4 pixels
    mask, _ = only_mask(
        "label_studio", export(tmp_path, percent_result("ellipselabels", value, "a"))
    )
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    far = ((x - 30) / 12) ** 2 + ((y - 20) / 4) ** 2
    assert mask[far < 0.9].all() and not mask[far > 1.1].any()


@pytest.mark.parametrize(
    ("image", "address"),
    [
        ("a.png", "/data/upload/1/0a1b2c3d-a.png"),
        ("0a1b2c3d-a.png", "/data/upload/1/0a1b2c3d-a.png"),
        ("my photos/a b.png", "/data/local-files/?d=my%20photos/a%20b.png"),
        ("a.png", "s3://bucket/folder/a.png"),
        ("a.png", "https://host/folder/a.png?size=full"),
    ],
)
def test_the_image_is_found(tmp_path, image, address):
    one_image(tmp_path, f"images/{image}")
    write(tmp_path / "x.json", [label_studio_task("a.png", [CAR]) | {"data": {"image": address}}])
    assert only_mask("label_studio", tmp_path)[0].sum() == 300


def test_the_label_may_be_a_result_of_its_own(tmp_path):
    outline = {"points": corners(0, 0, 50, 50), "closed": True}
    shape = percent_result("polygon", outline, "") | {"value": outline}
    mask, source = only_mask(
        "label_studio", export(tmp_path, shape, percent_result("labels", outline, "car"))
    )
    assert source.classes.names == ("background", "car")
    np.testing.assert_array_equal(mask, boxed((1, 0, 0, 30, 20)))


def test_cancelled_annotations_and_unlabelled_tasks_are_left_out(tmp_path):
    one_image(tmp_path)
    one_image(tmp_path, "b.png")
    labelled = label_studio_task("a.png", [CAR, {"type": "choices", "value": {"choices": ["x"]}}])
    labelled["annotations"].insert(0, {"result": [], "was_cancelled": True})
    unlabelled = label_studio_task("b.png", []) | {"annotations": []}
    write(tmp_path / "export.json", [labelled, unlabelled])
    mask, source = only_mask("label_studio", tmp_path)
    assert mask.sum() == 300
    assert [note.split(";")[0] for note in source.notes] == [
        "1 tasks have no annotation and were left out",
        "1 results have no area and were left out",
        "1 images have no labelled task and were left out",
    ]


def test_two_annotators_need_a_ground_truth(tmp_path):
    task = label_studio_task("a.png", [CAR])
    task["annotations"].append({"result": [CAR, CAR], "ground_truth": False})
    root = export(tmp_path, annotations=task["annotations"])
    with pytest.raises(DeeplabError, match="2 annotations are of this image; mark one as the"):
        only_mask("label_studio", root)
    task["annotations"][0]["ground_truth"] = True
    assert only_mask("label_studio", export(tmp_path, annotations=task["annotations"]))[0].any()


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (percent_result("polygonlabels", {"points": [[1, 1], [5, 5]]}, "car"), "has 4 numbers"),
        (percent_result("polygonlabels", {"points": [[1]]}, "car"), "is malformed: not enough"),
        (
            percent_result(
                "polygonlabels", {"points": corners(1, 1, 5, 5), "closed": False}, "car"
            ),
            "the polygon is not closed",
        ),
        (percent_result("heartlabels", {}, "car"), "no reader knows this kind"),
        (CAR | {"image_rotation": 90}, "the image was turned in Label Studio"),
        (CAR | {"value": {**RECTANGLE, "rectanglelabels": ["a", "b"]}}, "it must have one label"),
        (CAR | {"value": {"rectanglelabels": ["a"]}}, "'x' is missing"),
        (brush(np.ones((HEIGHT, WIDTH - 1), bool)), "a brush has 2360 pixels, and the image"),
        (percent_result("brushlabels", {"rle": [0, 0]}, "car"), "a brush is cut"),
        (percent_result("brushlabels", {"rle": [300]}, "car"), "must be in range"),
    ],
)
def test_a_result_that_cannot_be_drawn_is_named(tmp_path, result, message):
    with pytest.raises(DeeplabError, match=f"mask of image .*a.png in .*json cannot .*{message}"):
        only_mask("label_studio", export(tmp_path, result))
