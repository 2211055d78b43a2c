"""Mask files of every kind: read as they are, or refused with the pixel that is wrong."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from deeplab_tf.data.sources.masks import ColorMask, IndexMask, plain_values
from deeplab_tf.errors import DeeplabError

RNG = np.random.default_rng(0)


def save(picture, path, **options):
    picture.save(path, **options)
    return path


def read_index(path, num_classes, void):
    return IndexMask(path, plain_values(num_classes, void)).read()


LABELS = np.array([[0, 1, 2], [3, 20, 255]], np.uint8)


def test_palette_indices_and_grey_values_are_the_labels(tmp_path):
    grey = Image.fromarray(LABELS)
    palette = grey.copy()
    palette.putpalette(RNG.integers(0, 256, 768).tolist())
    for picture in (grey, palette):
        path = save(picture, tmp_path / "a.png")
        np.testing.assert_array_equal(read_index(path, 21, 255), LABELS)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_a_pixel_are_read_as_they_are(tmp_path, bits):
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4) % 2**bits
    path = tmp_path / "a.png"
    path.write_bytes(grey_png(labels, bits))
    np.testing.assert_array_equal(read_index(path, 16, 255), labels)


def grey_png(labels, bits):
    """A grey PNG of `bits` bits a pixel, by the PNG specification."""
    rows = b""
    for row in labels:
        text = "".join(format(value, f"0{bits}b") for value in row)
        text += "0" * (-len(text) % 8)
        rows += b"\0" + bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", labels.shape[1], labels.shape[0], bits, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_another_void_becomes_255(tmp_path):
    path = save(Image.fromarray(np.array([[0, 10, 11]], np.uint8)), tmp_path / "a.png")
    assert read_index(path, 11, 11).tolist() == [[0, 10, 255]]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_a_mask_of_colours_is_refused(tmp_path, mode):
    path = save(Image.new(mode, (3, 2)), tmp_path / "a.png")
    with pytest.raises(DeeplabError, match=rf"mask .*a\.png is a PNG of colours \({mode}\); .*pal"):
        read_index(path, 21, 255)


def test_a_mask_that_is_a_jpeg_is_refused(tmp_path):
    path = tmp_path / "a.png"
    Image.new("L", (3, 2)).save(path, "JPEG")
    with pytest.raises(DeeplabError, match=r"mask .*a\.png is a JPEG file"):
        read_index(path, 21, 255)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_label_outside_the_classes_is_named_with_its_pixel(tmp_path, dtype):
    labels = LABELS.astype(dtype)
    labels[1, 2] = wrong = 21 if dtype is np.uint8 else 300
    path = save(Image.fromarray(labels), tmp_path / "a.png")
    with pytest.raises(
        DeeplabError, match=rf"a\.png has label {wrong} at pixel x=2, y=1; .* 0 to 20, and 255"
    ):
        read_index(path, 21, 255)


COLORS = {(0, 0, 0): 0, (128, 64, 0): 1, (255, 255, 255): 255}


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_are_classes(tmp_path, mode):
    labels = RNG.choice(np.array([0, 1, 255], np.uint8), (4, 5))
    pixels = np.zeros((4, 5, 3), np.uint8)
    for color, label in COLORS.items():
        pixels[labels == label] = color
    path = save(
        Image.fromarray(pixels).convert(mode, palette=Image.Palette.ADAPTIVE), tmp_path / "a.png"
    )
    np.testing.assert_array_equal(ColorMask(path, COLORS).read(), labels)


def test_a_colour_of_no_class_is_named_with_its_pixel(tmp_path):
    picture = Image.new("RGB", (3, 2))
    picture.putpixel((2, 1), (128, 64, 1))
    path = save(picture, tmp_path / "a.png")
    with pytest.raises(DeeplabError, match="the colour #804001 at pixel x=2, y=1.* #000000, #8040"):
        ColorMask(path, COLORS).read()


def test_the_digest_follows_the_file_and_the_meaning(tmp_path):
    path = save(Image.new("L", (3, 2)), tmp_path / "a.png")
    first = IndexMask(path, plain_values(3, 255)).digest()
    assert first == IndexMask(path, plain_values(3, 255)).digest()
    assert first != IndexMask(path, plain_values(3, 254)).digest()
    save(Image.new("L", (3, 2), 1), path)
    assert first != IndexMask(path, plain_values(3, 255)).digest()
