"""The tags of a GeoTIFF are read as written, and labels are written at the same place."""

import numpy as np
import pytest
import tifffile
from hypothesis import given
from PIL import Image
from support.fuzz import broken, cases
from support.geo_files import PLACE_OF_TAGS, TAGS, place_of, write_geotiff

from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOC
from deeplab_tf.images.geotiff import read_nodata, read_place, write_geo_labels

PIXELS = np.zeros((9, 7, 2), np.uint16)


@pytest.mark.parametrize(("big", "order"), [(False, "<"), (False, ">"), (True, "<")])
def test_the_tags_of_every_kind_of_tiff(big, order, tmp_path):
    path = write_geotiff(tmp_path / "a.tif", PIXELS, "-9999", bigtiff=big, byteorder=order)
    place = read_place(path)
    assert [(tag, kind) for tag, kind, *_ in place] == [(t, kind) for t, (kind, _) in TAGS.items()]
    assert read_nodata(path) == -9999.0
    labels = np.zeros((3, 4), np.uint8)
    write_geo_labels([labels], (3, 4), VOC, place, tmp_path / "b.tif")
    assert place_of(tmp_path / "b.tif") == place_of(path) == PLACE_OF_TAGS
    assert read_nodata(tmp_path / "b.tif") == 255.0


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0.0), ("-3.4028234663852886e+38", -3.4028234663852886e38), (" 7 ", 7)]
)
def test_nodata_is_a_number(text, value, tmp_path):
    assert read_nodata(write_geotiff(tmp_path / "a.tif", PIXELS, text)) == value


def test_nodata_may_be_nan_or_nothing(tmp_path):
    assert np.isnan(read_nodata(write_geotiff(tmp_path / "a.tif", PIXELS, "nan")))
    assert read_nodata(write_geotiff(tmp_path / "b.tif", PIXELS)) is None
    Image.new("RGB", (3, 3)).save(tmp_path / "c.png")
    assert (read_nodata(tmp_path / "c.png"), read_place(tmp_path / "c.png")) == (None, ())


def test_what_cannot_be_read_is_named(tmp_path):
    path = write_geotiff(tmp_path / "a.tif", PIXELS, "none")
    with pytest.raises(DeeplabError, match=r"a\.tif names 'none' as its value without data"):
        read_nodata(path)
    write_geotiff(path, PIXELS, "0", bigtiff=True, byteorder=">")
    with pytest.raises(DeeplabError, match=r"a\.tif is a BigTIFF in big-endian order"):
        read_nodata(path)


def test_broken_tags_are_read_or_named(tmp_path):
    whole = write_geotiff(tmp_path / "whole.tif", PIXELS, "-9999").read_bytes()
    path = tmp_path / "a.tif"

    @cases(40)
    @given(data=broken(whole, header=300))
    def check(data):
        path.write_bytes(data)
        read_place(path)
        try:
            read_nodata(path)
        except DeeplabError as error:
            assert str(path) in str(error) and "\n" not in str(error)

    check()


@pytest.mark.parametrize("cuts", [[], [100], [1, 255, 256, 257, 299], [256, 512]])
def test_labels_in_chunks_are_one_tiled_picture_of_the_palette(cuts, tmp_path):
    labels = np.random.default_rng(0).integers(0, 21, (530, 301), np.uint8)
    path = tmp_path / "labels.tif"
    write_geo_labels(np.split(labels, cuts), labels.shape, VOC, (), path)
    np.testing.assert_array_equal(tifffile.imread(path), labels)
    picture = Image.open(path)
    np.testing.assert_array_equal(picture, labels)
    assert picture.mode == "P" and picture.getpalette()[: 3 * 21] == VOC.flat_palette()[: 3 * 21]
    with tifffile.TiffFile(path) as file:
        assert file.pages[0].tile == (256, 256)


def test_labels_that_stop_leave_no_file(tmp_path):
    def chunks():
        yield np.zeros((300, 10), np.uint8)
        raise DeeplabError("broken there")

    with pytest.raises(DeeplabError, match="broken there"):
        write_geo_labels(chunks(), (600, 10), VOC, (), tmp_path / "labels.tif")
    assert list(tmp_path.iterdir()) == []
