"""COCO's regions become label maps: by hand, and against an independent rasterisation."""

import json

import numpy as np
import pytest
from matplotlib.path import Path as Outline
from pycocotools import mask as coco_mask
from support.shared_data import SHARED, needs_shared_data
from support.tiny_coco import BOAT, PERSON, TRUCK, TV, annotation, box, write_coco

from deeplab_tf.data.sources.coco import coco_source, coco_voc_source
from deeplab_tf.data.write_records import write_records
from deeplab_tf.errors import DeeplabError


def only_mask(source):
    (pair,) = source.splits["train"]
    return pair.mask


def test_polygons_of_voc_classes(tmp_path):
    root = write_coco(
        tmp_path,
        annotation(PERSON, box(10, 5, 50, 35) + box(60, 5, 70, 15)),
        annotation(TRUCK, box(0, 40, 80, 60)),
        annotation(TV, box(70, 30, 80, 40)),
    )
    expected = np.zeros((60, 80), np.uint8)
    expected[5:35, 10:50] = expected[5:15, 60:70] = 15
    expected[30:40, 70:80] = 20
    source = coco_voc_source(root)
    assert source.classes.names[15] == "person" and source.classes.names[20] == "tvmonitor"
    np.testing.assert_array_equal(only_mask(source).read(), expected)


def test_its_own_classes_are_numbered_in_the_order_of_the_ids(tmp_path):
    root = write_coco(
        tmp_path, annotation(TRUCK, box(0, 0, 80, 20)), annotation(TV, box(0, 20, 9, 60))
    )
    source = coco_source(root)
    assert source.classes.names == ("background", "person", "truck", "boat", "tv")
    expected = np.zeros((60, 80), np.uint8)
    expected[:20], expected[20:, :9] = 2, 4
    np.testing.assert_array_equal(only_mask(source).read(), expected)


@pytest.mark.parametrize("crowd_first", [False, True])
def test_where_two_classes_meet_or_a_crowd_is_there_is_void(tmp_path, crowd_first):
    crowd = np.zeros((60, 80), np.uint8)
    crowd[50:] = 1
    counts = [column_run for _ in range(80) for column_run in (50, 10)]
    crowd_region = annotation(BOAT, {"size": [60, 80], "counts": counts}, crowd=1)
    regions = [
        annotation(PERSON, box(0, 0, 40, 30)),
        annotation(PERSON, box(30, 0, 50, 30)),  # the same class: no void
        annotation(BOAT, box(45, 10, 80, 55)),
    ]
    regions.insert(0 if crowd_first else 3, crowd_region)
    expected = np.zeros((60, 80), np.uint8)
    expected[0:30, 0:50] = 15
    expected[10:55, 45:80] = 4
    expected[10:30, 45:50] = 255
    expected[50:] = 255
    mask = only_mask(coco_voc_source(write_coco(tmp_path, *regions)))
    np.testing.assert_array_equal(mask.read(), expected)


def test_a_crowd_of_another_class_is_background(tmp_path):
    full = {"size": [60, 80], "counts": [0, 60 * 80]}
    root = write_coco(
        tmp_path, annotation(TRUCK, full, crowd=1), annotation(BOAT, box(0, 0, 50, 50))
    )
    assert sorted(np.unique(only_mask(coco_voc_source(root)).read())) == [0, 4]


def test_compressed_rle(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 2, (60, 80), dtype=np.uint8)
    rle = coco_mask.encode(np.asfortranarray(pixels))
    rle["counts"] = rle["counts"].decode()
    mask = only_mask(coco_voc_source(write_coco(tmp_path, annotation(BOAT, rle))))
    np.testing.assert_array_equal(mask.read(), 4 * pixels)


@pytest.mark.parametrize(("rows", "taken"), [(25, False), (26, True)])
def test_images_of_more_than_1000_pixels_are_taken(tmp_path, rows, taken):
    """1000 pixels are 25 rows of 40; regions that overlap count once, other classes not at all."""
    region = annotation(PERSON, box(0, 0, 40, rows))
    root = write_coco(tmp_path, region, region, annotation(TRUCK, box(0, 30, 80, 60)))
    if taken:
        assert len(coco_voc_source(root).splits["train"]) == 1
    else:
        with pytest.raises(DeeplabError, match="no annotated image is left"):
            coco_voc_source(root)
    assert len(coco_source(root).splits["train"]) == 1


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([], "a region has no polygon"),
        ([[1, 1, 5, 5]], "a polygon has 4 numbers"),
        ([[1, 1, 5, 1, 5, 5, 3]], "a polygon has 7 numbers"),
        ([[1, 1, 5, 1, 5, 1e9]], "reaches far outside the image of 80x60"),
        ({"size": [80, 60], "counts": [4800]}, "has 60x80 pixels and the image has 80x60"),
        ({"size": [60, 80], "counts": [4000, 5]}, "give 4005 pixels and the image has 4800"),
        ({"size": [60, 80], "counts": "35"}, "its RLE does not cover the image"),
        ({"size": [60, 80], "counts": "35n9999o"}, "Invalid RLE"),
        ({"size": [60, 80], "counts": "Ü"}, "Invalid RLE"),
    ],
)
def test_a_region_that_cannot_be_drawn_is_named(tmp_path, segmentation, message):
    """pycocotools itself draws anything from most of them, or fills the memory."""
    mask = only_mask(coco_source(write_coco(tmp_path, annotation(BOAT, segmentation))))
    with pytest.raises(DeeplabError, match=f"mask of image 7 in .* be drawn: .*{message}"):
        mask.read()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("{", "is not COCO's instances file"),
        ("[]", "is not COCO's instances file"),
        ('{"images": [], "annotations": []}', "Field required at categories"),
        (
            '{"images": [{"id": 1, "file_name": "a", "height": 0, "width": 1}], '
            '"annotations": [], "categories": []}',
            "greater than 0 at images.0.height",
        ),
    ],
)
def test_another_json_is_refused(tmp_path, change, message):
    root = write_coco(tmp_path)
    (root / "annotations" / "instances_train2017.json").write_text(change)
    with pytest.raises(DeeplabError, match=message):
        coco_source(root)


def test_wrong_folders_are_named(tmp_path):
    with pytest.raises(DeeplabError, match="has no annotations/instances_"):
        coco_source(tmp_path)
    root = write_coco(tmp_path)
    (root / "train2017").rename(root / "elsewhere")
    with pytest.raises(DeeplabError, match="train2017, which is missing"):
        coco_source(root)
    (root / "elsewhere").rename(root / "train2017")
    write_coco(root, split="train2014")
    with pytest.raises(DeeplabError, match="are both of the split train; keep the file"):
        coco_source(root)


def test_splits_with_other_categories_are_refused(tmp_path):
    root = write_coco(tmp_path)
    write_coco(root, split="val2017", names={1: "person"})
    with pytest.raises(DeeplabError, match="val2017.json must have the same .* as .*train2017"):
        coco_source(root)


def test_records(tmp_path):
    root = write_coco(tmp_path, annotation(BOAT, box(0, 0, 40, 30)))
    records, written = write_records(coco_voc_source(root), tmp_path / "data")
    assert written and records.classes.dataset == "coco_voc"
    assert records.pixels["train"][4] == 1200 and records.pixels["train"][0] == 3600
    assert not write_records(coco_voc_source(root), tmp_path / "data")[1]


def independent_region(segmentation, height, width):
    """bool [H, W] of the pixels whose centres lie inside, and of those near an outline."""
    inside, near = np.zeros((2, height, width), bool)
    if isinstance(segmentation, dict):
        counts = segmentation["counts"]
        runs = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        return runs.reshape(width, height).T, near
    centres = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1) + 0.5
    for polygon in segmentation:
        points = np.reshape(polygon, (-1, 2))
        (left, top), (right, bottom) = points.min(0).astype(int), points.max(0).astype(int) + 1
        box = np.s_[top:bottom, left:right]
        inside_box = Outline(points).contains_points(centres[box].reshape(-1, 2))
        inside[box] |= inside_box.reshape(inside[box].shape)
        for start, end in zip(points, np.roll(points, -1, axis=0), strict=True):
            steps = np.linspace(start, end, int(10 * np.abs(end - start).max()) + 2)
            for dx, dy in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
                column, row = np.floor(steps + np.array([dx, dy])).astype(int).T
                near[row.clip(0, height - 1), column.clip(0, width - 1)] = True
            column, row = np.floor(steps).astype(int).T
            near[row.clip(0, height - 1), column.clip(0, width - 1)] = True
    return inside, near


@needs_shared_data
def test_real_annotations_against_an_independent_rasterisation():
    """Pixel by pixel, but for those within a pixel of an outline, where COCO's own rule decides
    which side they are on; and there are few of them."""
    source = coco_source(SHARED / "coco")
    content = json.loads((SHARED / "coco/annotations/instances_train2017.json").read_text())
    ids = sorted(category["id"] for category in content["categories"])
    pixels = compared = 0
    for pair in source.splits["train"]:
        drawn = pair.mask.read()
        expected = np.zeros_like(drawn)
        outlines = np.zeros(drawn.shape, bool)
        for each in content["annotations"]:
            if each["image_id"] != pair.mask.image_id:
                continue
            inside, near = independent_region(each["segmentation"], *drawn.shape)
            label = 255 if each["iscrowd"] else 1 + ids.index(each["category_id"])
            clash = inside & (expected != 0) & (expected != label)
            expected[inside] = label
            expected[clash] = 255
            outlines |= near
        np.testing.assert_array_equal(drawn[~outlines], expected[~outlines], err_msg=pair.id)
        pixels += drawn.size
        compared += int((~outlines).sum())
    assert len(source.splits["train"]) == 80
    assert compared > 0.9 * pixels


@needs_shared_data
def test_the_real_coco_in_voc_classes():
    """The images that the annotations' own `area` gives more than 1,000 pixels of VOC's classes."""
    source = coco_voc_source(SHARED / "coco")
    content = json.loads((SHARED / "coco/annotations/instances_train2017.json").read_text())
    voc = {1, 2, 3, 4, 5, 6, 7, 9, 16, 17, 18, 19, 20, 21, 44, 62, 63, 64, 67, 72}  # COCO's ids
    area = dict.fromkeys((image["id"] for image in content["images"]), 0.0)
    for each in content["annotations"]:
        if each["category_id"] in voc and not each["iscrowd"]:
            area[each["image_id"]] += each["area"]
    expected = [id_ for id_, pixels in area.items() if pixels > 1000]
    assert [pair.mask.image_id for pair in source.splits["train"]] == expected
    assert len(expected) == 64
    assert source.notes[0].startswith("train: 16 of 80 images have no more than 1,000 pixels")


@pytest.mark.parametrize("count", [254, 255])
def test_more_categories_than_a_byte_has_are_one_line(count, tmp_path):
    names = {number: f"thing {number}" for number in range(1, count + 1)}
    root = write_coco(tmp_path, annotation(1, box(0, 0, 9, 9)), names=names)
    if count == 254:
        assert coco_source(root).classes.num_classes == 255
        return
    with pytest.raises(
        DeeplabError, match="has 255 categories; 254 are the most, .*: merge"
    ) as error:
        coco_source(root)
    assert "\n" not in str(error.value) and "instances_train2017.json" in str(error.value)
