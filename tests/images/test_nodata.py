"""Pixels without data: what counts as such, and void in records and in no statistics."""

import json

import numpy as np
import pytest
from PIL import Image
from support.geo_files import write_geotiff

from deeplab_tf.config.image_format import RGB, ImageFormat
from deeplab_tf.data.check.doctor import examine
from deeplab_tf.data.pipeline import labelled_images
from deeplab_tf.data.read_pair import read_pair
from deeplab_tf.data.sources.describe_folder import propose
from deeplab_tf.data.sources.folder import folder_source
from deeplab_tf.data.write_records import write_records
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.bands import read_image_of, read_with_missing
from deeplab_tf.images.classes import VOID
from deeplab_tf.images.nodata import find_absent, with_void, without_absent

FLOATS = ImageFormat(2, 32)


def test_what_is_no_data():
    floats = np.array([[[1, -9999], [np.nan, 2], [-9999, np.inf], [3, 4]]], np.float32)
    assert find_absent(floats, -9999.0).tolist() == [
        [[False, True], [True, False], [True, True], [False, False]]
    ]
    assert find_absent(floats[:, 3:], None) is None
    assert find_absent(floats, None).sum() == find_absent(floats, np.nan).sum() == 2
    least = np.full((1, 1, 1), np.finfo(np.float32).min)
    assert find_absent(least, -3.4028234663852886e38).all()
    numbers = np.array([[[0, 7], [0, 0]]], np.uint16)
    assert find_absent(numbers, 0.0).tolist() == [[[True, False], [True, True]]]
    assert find_absent(numbers, -9999.0) is None and find_absent(numbers, 0.5) is None


def test_values_without_data_are_0_and_pixels_without_any_are_missing():
    floats = np.array([[[1, -9999], [-9999, np.nan]]], np.float32)
    pixels, missing = without_absent(floats, -9999.0, FLOATS)
    assert pixels.tolist() == [[[1, 0], [0, 0]]] and pixels.dtype == np.float32
    assert missing.tolist() == [[False, True]]
    rgb = np.full((1, 2, 3), 255, np.uint8)
    pixels, missing = without_absent(rgb, 255.0, RGB)
    assert pixels is rgb and missing.all()
    labels = np.array([[1, 2]], np.uint8)
    assert with_void(labels, np.array([[False, True]])).tolist() == [[1, VOID]]
    assert with_void(labels, None) is labels


def write_fields(root, tag="-9999", **fields):
    """Four reflectance images of two bands; the left quarter of each has no data."""
    rng = np.random.default_rng(0)
    drawn = {}
    for name in "abcd":
        pixels = rng.normal([0.1, 0.4], [0.02, 0.1], (24, 32, 2)).astype(np.float32)
        pixels[:, :8] = float(tag or -9999)
        write_geotiff(root / "images" / f"{name}.tif", pixels, tag)
        labels = rng.integers(0, 2, (24, 32), np.uint8)
        (root / "masks").mkdir(exist_ok=True)
        Image.fromarray(labels).save(root / "masks" / f"{name}.png")
        labels[:, :8] = VOID
        drawn[name] = pixels, labels
    description = {"name": "fields", "classes": ["soil", "crop"], "bands": 2, "bits": 32}
    description |= {"splits": {"train": "train.txt"}} | fields
    (root / "train.txt").write_text("a\nb\nc\nd\n")
    (root / "dataset.json").write_text(json.dumps(description))
    return drawn


@pytest.mark.parametrize(
    ("tag", "fields"), [("-9999", {}), ("nan", {}), (None, {"nodata": -9999.0})]
)
def test_reflectances_through_the_check_and_the_records(tag, fields, tmp_path):
    drawn = write_fields(tmp_path / "fields", tag, **fields)
    report = examine(folder_source(tmp_path / "fields"), workers=1)
    assert report.errors == []
    source = report.healthy()
    with_data = np.concatenate([p[:, 8:].reshape(-1, 2) for p, _ in drawn.values()])
    np.testing.assert_allclose(source.image_format.mean, with_data.mean(0, np.float64), rtol=1e-6)
    np.testing.assert_allclose(source.image_format.std, with_data.std(0, np.float64), rtol=1e-6)
    records, _ = write_records(source, tmp_path / "data", workers=1)
    assert records.image_format == source.image_format
    for name, image, mask in labelled_images(records.split("train")):
        pixels, labels = drawn[name]
        assert image.dtype == np.float32 and not image[:, :8].any()
        np.testing.assert_array_equal(image[:, 8:], pixels[:, 8:])
        np.testing.assert_array_equal(mask, labels)


def test_init_sees_floats(tmp_path):
    root = tmp_path / "fields"
    write_fields(root)
    (root / "dataset.json").unlink()
    description = propose(root, lambda: None, None).description
    assert (description.bands, description.bits) == (2, 32)


@pytest.mark.parametrize(
    ("bits", "nodata"), [(8, -1.0), (8, 256.0), (16, 0.5), (16, 65_536.0), (32, 1e39)]
)
def test_a_value_that_no_pixel_can_have_is_refused(bits, nodata, tmp_path):
    write_fields(tmp_path, bits=bits, nodata=nodata)
    with pytest.raises(DeeplabError, match="nodata must be a value that a pixel of"):
        folder_source(tmp_path)


def test_an_orthophoto_of_rgb_is_void_where_it_names_no_data(tmp_path):
    root = tmp_path / "photos"
    pixels = np.random.default_rng(0).integers(1, 255, (20, 30, 3), np.uint8)
    pixels[:, :5] = 0
    pixels[3, 9] = (0, 9, 9)  # has data in two bands
    write_geotiff(root / "images" / "a.tif", pixels, "0")
    (root / "masks").mkdir()
    Image.fromarray(np.ones((20, 30), np.uint8)).save(root / "masks" / "a.png")
    (root / "train.txt").write_text("a\n")
    (root / "dataset.json").write_text(
        json.dumps({"name": "p", "classes": ["a", "b"], "splits": {"train": "train.txt"}})
    )
    _, mask = read_pair(folder_source(root).splits["train"][0])
    assert (mask[:, :5] == VOID).all() and (mask[:, 5:] == 1).all()
    read, missing = read_with_missing(root / "images" / "a.tif", RGB)
    np.testing.assert_array_equal(read, pixels)
    np.testing.assert_array_equal(read, read_image_of(root / "images" / "a.tif", RGB))
    assert missing.sum() == 20 * 5
