"""One's own COCO JSON: places of images, splits, categories, crowds."""

import json

import numpy as np
import pytest
from support.tool_exports import HEIGHT, WIDTH, boxed, one_image, only_mask, write

from deeplab_tf.data.sources.choices import Choices
from deeplab_tf.data.sources.coco import coco_source
from deeplab_tf.data.sources.coco_json import coco_json_source
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOID

ROAD, CAR = 1, 2


def box(category, left, top, right, bottom, **fields):
    outline = [left, top, right, top, right, bottom, left, bottom]
    return {"image_id": 1, "category_id": category, "segmentation": [outline], **fields}


def content(*annotations, name="a.png", **fields):
    return {
        "images": [{"id": 1, "file_name": name, "width": WIDTH, "height": HEIGHT}],
        "annotations": list(annotations),
        "categories": [{"id": ROAD, "name": "road"}, {"id": CAR, "name": "car"}],
        **fields,
    }


def export(root, *annotations, file="annotations/instances_default.json", **fields):
    one_image(root, "images/a.png")
    write(root / file, content(*annotations, **fields))
    return root


def test_a_car_on_a_road_is_a_car_and_a_crowd_is_void(tmp_path):
    crowd = {"size": [HEIGHT, WIDTH], "counts": [0, 400, 2000]}  # the 10 columns at the left
    root = export(
        tmp_path,
        box(CAR, 5, 20, 30, 30),
        box(ROAD, 0, 10, 60, 40),
        box(CAR, 0, 0, 0, 0, segmentation=crowd, iscrowd=1),
    )
    mask, source = only_mask("coco_json", root, name="streets")
    assert source.classes.dataset == "streets"
    boxes = ((1, 0, 10, 60, 40), (2, 5, 20, 30, 30), (VOID, 0, 0, 10, 40))
    np.testing.assert_array_equal(mask, boxed(*boxes))


def test_the_name_coco_reads_ones_own_categories_too(tmp_path):
    source = coco_source(export(tmp_path / "streets", box(CAR, 0, 0, 9, 9)))
    assert source.classes.dataset == "streets" and source.classes.names[1:] == ("road", "car")
    assert "category 1 'road', which COCO lacks: read as coco_json" in source.notes[0]


@pytest.mark.parametrize(
    ("image", "file", "name", "split"),
    [
        ("images/train/a.png", "annotations/instances_train.json", "a.png", "train"),
        ("train/a.png", "train/_annotations.coco.json", "a.png", "train"),
        ("valid/a.png", "valid/_annotations.coco.json", "a.png", "val"),
        ("images/a.png", "annotations.json", "images/a.png", "train"),
        ("images/x/a.png", "result.json", "x\\a.png", "train"),
        ("train2017/a.png", "annotations/instances_train2017.json", "a.png", "train"),
        ("photos/a.png", "labels_my-project_2024.json", "/home/me/a.png", "train"),
    ],
)
def test_images_and_splits_are_found(tmp_path, image, file, name, split):
    one_image(tmp_path, image)
    write(tmp_path / file, content(box(CAR, 0, 0, 9, 9), name=name))
    mask, source = only_mask("coco_json", tmp_path)
    assert [*source.splits] == [split] and mask.sum() == 2 * 81


def test_a_category_that_only_groups_others_is_none(tmp_path):
    """Roboflow's first category."""
    categories = [
        {"id": 0, "name": "vehicles", "supercategory": "none"},
        {"id": ROAD, "name": "road", "supercategory": "vehicles"},
        {"id": CAR, "name": "car", "supercategory": "vehicles"},
    ]
    root = export(tmp_path, box(CAR, 0, 0, 9, 9), categories=categories)
    assert only_mask("coco_json", root)[1].classes.names == ("background", "road", "car")


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (box(9, 0, 0, 9, 9), "region 1 has the category 9, which is not declared"),
        (box(CAR, 0, 0, 9, 9, segmentation=[]), "has only a box and no segmentation"),
        (box(CAR, 0, 0, 9, 9, segmentation=[[1, 1, 2, 2]]), "a polygon has 4 numbers"),
        (box(CAR, 70, 0, 79, 9), "lies outside the image of 60x40"),
        (
            box(CAR, 0, 0, 9, 9, segmentation={"size": [HEIGHT, WIDTH], "counts": [5]}),
            "the counts of its RLE give 5 pixels",
        ),
    ],
)
def test_a_region_that_cannot_be_drawn_is_named(tmp_path, annotation, message):
    with pytest.raises(DeeplabError, match=f"mask of image a.png in .* cannot be .*{message}"):
        only_mask("coco_json", export(tmp_path, annotation))


def test_files_that_do_not_agree_are_refused(tmp_path):
    root = export(tmp_path, box(CAR, 0, 0, 9, 9))
    write(root / "annotations/instances_val.json", content(categories=[{"id": 1, "name": "bus"}]))
    with pytest.raises(DeeplabError, match="instances_val.json must have the same categories as"):
        coco_json_source(root, Choices())
    write(root / "annotations/instances_val.json", content(box(CAR, 0, 0, 9, 9)))
    with pytest.raises(DeeplabError, match="a.png is annotated twice, by .*default.* and .*val"):
        coco_json_source(root, Choices())


def test_annotations_of_no_image_are_refused(tmp_path):
    root = export(tmp_path, box(CAR, 0, 0, 9, 9) | {"image_id": 7})
    with pytest.raises(DeeplabError, match="has annotations of image 7, which is not in its"):
        coco_json_source(root, Choices())


def test_a_byte_order_mark_is_passed_over(tmp_path):
    root = export(tmp_path)
    text = json.dumps(content(box(CAR, 0, 0, 9, 9)))
    (root / "annotations/instances_default.json").write_text(text, encoding="utf-8-sig")
    assert only_mask("coco_json", root)[0].any()
