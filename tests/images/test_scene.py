"""Rows of TIFFs of every layout equal the rows of the whole picture, or the file is named."""

import itertools

import numpy as np
import pytest
import tifffile
from hypothesis import given
from support.fuzz import broken, cases

from deeplab_tf.config.image_format import RGB, ImageFormat
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.scene import open_scene

FORMATS = {
    "rgb": RGB,
    "five": ImageFormat(5, 16),
    "reflectance": ImageFormat(4, 32),
    "one": ImageFormat(1, 16),
}
RANGES = ((0, 150), (0, 1), (63, 65), (100, 150), (149, 150))


def pixels_of(image_format, size=(150, 210)):
    values = np.random.default_rng(0).random((*size, image_format.bands)) * 200
    return values.astype(image_format.dtype)


@pytest.mark.parametrize("name", FORMATS)
def test_rows_of_every_layout(name, tmp_path):
    image_format = FORMATS[name]
    whole, path = pixels_of(image_format), tmp_path / "a.tif"
    planes = ["contig", "separate"] if image_format.bands > 1 else [None]
    layouts = [{"tile": (64, 32)}, {"rowsperstrip": 7}, {"rowsperstrip": 150}]
    for layout, compression, planar, order in itertools.product(
        layouts, [None, "zlib", "lzw"], planes, "<>"
    ):
        stored = np.moveaxis(whole, -1, 0) if planar == "separate" else whole
        tifffile.imwrite(
            path,
            stored[..., 0] if planar is None else stored,
            compression=compression,
            planarconfig=planar,
            byteorder=order,
            photometric="rgb" if image_format.is_rgb else "minisblack",
            **layout,
        )
        with open_scene(path, image_format) as scene:
            assert (scene.height, scene.width) == (150, 210)
            for top, bottom in RANGES:
                rows = scene.rows(top, bottom)
                assert rows.dtype == image_format.dtype
                np.testing.assert_array_equal(rows, whole[top:bottom])


def test_jpeg_in_tiff_grey_alpha_doubles_and_sparse_tiles(tmp_path):
    path = tmp_path / "a.tif"
    pixels = pixels_of(RGB)

    def rows(image_format=RGB):
        with open_scene(path, image_format) as scene:
            return scene.rows(10, 90)

    tifffile.imwrite(path, pixels, tile=(64, 64), compression="jpeg", photometric="ycbcr")
    np.testing.assert_array_equal(rows(), tifffile.imread(path)[10:90])
    tifffile.imwrite(path, pixels[..., 0], photometric="minisblack")
    np.testing.assert_array_equal(rows(), np.repeat(pixels[10:90, :, :1], 3, -1))
    tifffile.imwrite(path, np.dstack([pixels, pixels[..., :1]]), photometric="rgb")
    np.testing.assert_array_equal(rows(), pixels[10:90])
    doubles = pixels_of(ImageFormat(4, 32)).astype(np.float64)
    tifffile.imwrite(path, doubles, photometric="minisblack", planarconfig="contig")
    np.testing.assert_array_equal(rows(ImageFormat(4, 32)), doubles[10:90].astype(np.float32))
    sparse = (None if index == 5 else np.full((64, 64, 3), index, np.uint8) for index in range(12))
    tifffile.imwrite(
        path, sparse, shape=pixels.shape, dtype=np.uint8, tile=(64, 64), photometric="rgb"
    )
    np.testing.assert_array_equal(rows(), tifffile.imread(path)[10:90])


def test_what_is_no_scene_is_left_to_the_usual_reader(tmp_path):
    path, pixels = tmp_path / "a.tif", pixels_of(RGB)
    palette = np.zeros((3, 256), np.uint16)
    for write in (
        lambda: path.write_bytes(b"II*\0"),
        lambda: tifffile.imwrite(path, pixels[..., 0], photometric="palette", colormap=palette),
        lambda: tifffile.imwrite(path, np.stack([pixels] * 2), photometric="rgb"),
        lambda: tifffile.imwrite(path, pixels, photometric="rgb", extratags=[(274, 3, 1, 6, True)]),
        lambda: tifffile.imwrite(path, pixels.astype(np.uint16), photometric="rgb"),
    ):
        write()
        with open_scene(path, RGB) as scene:
            assert scene is None
    with open_scene(tmp_path / "a.png", RGB) as scene:
        assert scene is None


def test_broken_scenes_give_rows_of_the_size_or_are_named(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels_of(RGB), tile=(64, 64), compression="zlib", photometric="rgb")
    whole = path.read_bytes()

    @cases(40)
    @given(data=broken(whole, header=400))
    def check(data):
        path.write_bytes(data)
        try:
            with open_scene(path, RGB) as scene:
                if scene is not None and scene.height * scene.width < 10**6:
                    rows = scene.rows(0, min(70, scene.height))
                    assert rows.shape[1:] == (scene.width, 3) and rows.dtype == np.uint8
        except DeeplabError as error:
            assert str(path) in str(error) and "\n" not in str(error)

    check()
