"""Images of more than three bands and of sixteen bits: in, through records, to the network."""

import json
import struct

import imagecodecs
import numpy as np
import pytest
import tensorflow as tf
import tifffile
from PIL import Image
from support.random_crop import random_crop
from support.turned import chunk

from deeplab_tf.config import DataConfig
from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.data import read_pair
from deeplab_tf.data.check.doctor import examine
from deeplab_tf.data.pipeline import evaluation_images
from deeplab_tf.data.read_pair import MOST_COLUMNS, MOST_SAMPLES
from deeplab_tf.data.records import decode
from deeplab_tf.data.sources.describe_folder import propose
from deeplab_tf.data.sources.folder import folder_source
from deeplab_tf.data.sources.source import Pair
from deeplab_tf.data.tiles import Tiling
from deeplab_tf.data.write_records import stored_example, write_records
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.bands import bands_and_bits, read_bands, read_image_of
from deeplab_tf.images.files import encode_png
from deeplab_tf.images.formats import encode_bands, view_rgb

FIVE = ImageFormat(bands=5, bits=16)


def pixels_of(seed, bands=5, dtype=np.uint16, size=(30, 41)):
    most = np.iinfo(dtype).max + 1
    return np.random.default_rng(seed).integers(0, most, (*size, bands), dtype=dtype)


def write_five(root, ids="abcdef"):
    """Five bands of 16 bits as TIFFs; two classes; a fifth of the ids for validation."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number, name in enumerate(ids):
        pixels = pixels_of(number)
        tifffile.imwrite(root / "images" / f"{name}.tif", pixels, photometric="minisblack")
        mask = (pixels[..., 4] > 30_000).astype(np.uint8)
        Image.fromarray(mask).save(root / "masks" / f"{name}.png")
    return root


@pytest.mark.parametrize(("bands", "dtype"), [(1, np.uint8), (5, np.uint8), (2, np.uint16)])
def test_what_is_stored_is_what_is_decoded(bands, dtype):
    pixels = pixels_of(0, bands, dtype)
    image_format = ImageFormat(bands, 8 * np.dtype(dtype).itemsize)
    mask = np.zeros(pixels.shape[:2], np.uint8)
    stored = {"id": "a", "image": encode_bands(pixels), "mask": encode_png(mask)}
    decoded = decode(stored, image_format)["image"].numpy()
    np.testing.assert_array_equal(decoded, pixels)
    assert decoded.dtype == dtype


def test_tiffs_with_bands_first_or_last_and_deep_pngs_are_read(tmp_path):
    pixels = pixels_of(1)
    tifffile.imwrite(tmp_path / "last.tif", pixels, photometric="minisblack")
    tifffile.imwrite(tmp_path / "first.tif", np.moveaxis(pixels, -1, 0), compression="lzw")
    for name in ("first", "last"):
        np.testing.assert_array_equal(read_bands(tmp_path / f"{name}.tif", FIVE), pixels)
        assert bands_and_bits(tmp_path / f"{name}.tif") == (5, 16)
    deep = pixels_of(2, bands=3)
    (tmp_path / "deep.png").write_bytes(imagecodecs.png_encode(deep))
    np.testing.assert_array_equal(read_bands(tmp_path / "deep.png", ImageFormat(3, 16)), deep)
    assert bands_and_bits(tmp_path / "deep.png") == (3, 16)
    Image.fromarray(pixels_of(3, 3, np.uint8)).save(tmp_path / "plain.png")
    assert bands_and_bits(tmp_path / "plain.png") == (3, 8)


def test_an_image_of_another_format_is_named(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels_of(0, 4), photometric="minisblack")
    with pytest.raises(DeeplabError, match=r"a\.tif is an array of \(30, 41, 4\); it must have 5 "):
        read_bands(path, FIVE)
    with pytest.raises(DeeplabError, match=r"pixels of uint16; it must have 4 bands of 8 bits"):
        read_bands(path, ImageFormat(4, 8))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DeeplabError, match=r"a\.tif cannot be read as TIFF or PNG"):
        read_bands(path, FIVE)


@pytest.mark.parametrize("name", ["gone.tif", "gone.png"])
def test_a_missing_or_unreadable_image_is_named(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(DeeplabError, match=f"image {path} cannot be read: No such file") as error:
        read_image_of(path, FIVE)
    assert "\n" not in str(error.value)
    path.mkdir()
    with pytest.raises(DeeplabError, match=f"image {path} cannot be read: Is a directory"):
        read_image_of(path, FIVE)


def test_init_sees_the_bands_and_the_records_hold_them(tmp_path):
    root = write_five(tmp_path / "fields")
    description = propose(root, lambda: None, None).description
    assert (description.bands, description.bits) == (5, 16)
    fields = description.model_dump(exclude_defaults=True) | {"splits": {"val_share": 0.5}}
    (root / "dataset.json").write_text(json.dumps(fields))
    report = examine(folder_source(root))
    assert report.errors == []
    source = report.healthy()
    training = [pixels_of("abcdef".index(pair.id)) for pair in source.splits["train"]]
    seen = np.stack(training).reshape(-1, 5).astype(np.float64)
    np.testing.assert_allclose(source.image_format.mean, seen.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(source.image_format.std, seen.std(axis=0), rtol=1e-9)

    records, _ = write_records(source, tmp_path / "data")
    assert records.image_format == source.image_format
    for split in ("train", "val"):
        found = list(evaluation_images(records.split(split)).as_numpy_iterator())
        assert sorted(name.decode() for name, *_ in found) == [p.id for p in source.splits[split]]
        for name, image, mask in found:
            pixels = pixels_of("abcdef".index(name.decode()))
            assert image.dtype == np.uint16
            np.testing.assert_array_equal(image, pixels)
            np.testing.assert_array_equal(mask, pixels[..., 4] > 30_000)


@pytest.mark.parametrize(
    "size", [(1 << 13, MOST_SAMPLES >> 13), (MOST_COLUMNS + 1, 1), (1, MOST_COLUMNS + 1)]
)
def test_the_limits_are_tensorflows(size):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 16, 0, 0, 0, 0))
    png = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"")
    with pytest.raises(tf.errors.InvalidArgumentError, match="PNG size too large|initialize"):
        tf.io.decode_png(png, channels=1, dtype=tf.uint16)
    with pytest.raises(DeeplabError, match="TensorFlow cannot decode the bands of example a"):
        stored_example("a", png, b"", FIVE)


@pytest.mark.parametrize(("name", "most"), [("MOST_SAMPLES", 6150), ("MOST_COLUMNS", 204)])
def test_an_image_that_no_record_holds_is_one_line(name, most, tmp_path, monkeypatch):
    """An 8-bit picture without the bands was the way out before, and ended in a traceback."""
    pair = Pair("a", write_five(tmp_path, "a") / "images" / "a.tif", None)
    monkeypatch.setattr(read_pair, name, most + 1)
    assert len(read_pair.encode_examples(pair, FIVE)) == 1
    monkeypatch.setattr(read_pair, name, most)
    said = r"image .*a\.tif has 41x30 pixels of 5 bands; TensorFlow decodes fewer .* --tile"
    with pytest.raises(DeeplabError, match=said) as error:
        read_pair.encode_examples(pair, FIVE)
    assert "\n" not in str(error.value)
    assert len(read_pair.encode_examples(pair, FIVE, Tiling(25, 0))) == 4


def test_each_band_is_augmented_as_if_alone():
    pixels, mask = pixels_of(0), np.zeros((30, 41), np.uint8)
    data, seed = DataConfig(crop_size=33), tf.constant([1, 2], tf.int64)
    means = tuple(float(1000 * band) for band in range(5))
    together, _ = random_crop(tf.constant(pixels), mask, seed, data, means)
    for band in range(5):
        alone, _ = random_crop(
            tf.constant(pixels[..., band : band + 1]), mask, seed, data, means[band : band + 1]
        )
        np.testing.assert_array_equal(together[..., band], alone[..., 0])


def test_a_view_has_the_first_bands_stretched():
    image_format = ImageFormat(5, 16, (1000.0,) * 5, (100.0,) * 5)
    pixels = np.full((1, 4, 5), 1000, np.uint16)
    pixels[0, :, 0] = (700, 900, 1100, 1300)
    np.testing.assert_array_equal(
        view_rgb(pixels, image_format)[0],
        [[0, 127, 127], [63, 127, 127], [191, 127, 127], [255, 127, 127]],
    )
    rgb = pixels_of(0, 3, np.uint8)
    np.testing.assert_array_equal(view_rgb(rgb), rgb)
