"""Mask files of every kind: read as they are, or refused with the pixel that is wrong."""

import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from deeplab_tf.data.sources.masks import ColorMask, IndexMask, LayeredMask, plain_values
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOID

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


@pytest.mark.parametrize(("mode", "color"), [("RGB", (0, 1, 0)), ("RGBA", 0), ("LA", (7, 0))])
def test_a_mask_of_colours_is_refused(tmp_path, mode, color):
    path = save(Image.new(mode, (3, 2), color), tmp_path / "a.png")
    with pytest.raises(DeeplabError, match=r"mask .*a\.png is a picture of colours; .*palette"):
        read_index(path, 21, 255)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_equal_channels_are_a_number(tmp_path, mode):
    path = save(Image.fromarray(LABELS).convert(mode), tmp_path / "a.png")
    np.testing.assert_array_equal(read_index(path, 21, 255), LABELS)


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        ("tif", "L"), ("tif", "P"), ("tif", "I;16"), ("tif", "F"), ("bmp", "L"), ("bmp", "P"),
        ("gif", "L"), ("pgm", "L"), ("webp", "RGB"), ("tga", "L"),
    ],
)  # fmt: skip
def test_every_format_that_keeps_pixels_has_the_labels(tmp_path, suffix, mode):
    picture = Image.fromarray(LABELS)
    if mode == "P":
        picture.putpalette(RNG.integers(0, 256, 768).tolist())
    elif mode == "I;16":
        picture = Image.fromarray(LABELS.astype(np.uint16))
    else:
        picture = picture.convert(mode)
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(picture, tmp_path / f"a.{suffix}", **options)
    np.testing.assert_array_equal(read_index(path, 21, 255), LABELS)


def test_what_could_be_read_wrongly_is_refused(tmp_path):
    half = np.zeros((2, 3, 4), np.uint8)
    half[1, 2, 3] = 128
    deep = np.zeros((2, 3), np.float32)
    deep[0, 1] = 1.5
    frames = [Image.new("L", (3, 2), value) for value in (0, 1)]
    Image.fromarray(half).save(tmp_path / "half.png")
    Image.fromarray(deep).save(tmp_path / "part.tif")
    frames[0].save(tmp_path / "two.tif", save_all=True, append_images=frames[1:])
    Image.new("RGB", (3, 2)).save(tmp_path / "lossy.webp")
    for name, message in (
        ("half.png", r"is half transparent at pixel x=2, y=1 \(alpha 128\)"),
        ("part.tif", r"has 1\.5 at pixel x=1, y=0; .* whole numbers"),
        ("two.tif", "has 2 pictures"),
        ("lossy.webp", "is a WEBP file, which changes labels"),
    ):
        with pytest.raises(DeeplabError, match=message):
            read_index(tmp_path / name, 21, 255)
    with pytest.raises(DeeplabError, match="is a WEBP file, which changes colours"):
        ColorMask(tmp_path / "lossy.webp", COLORS).read()


def test_colours_of_sixteen_bits_are_refused_and_not_cut(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(np.full((2, 3, 3), 258, np.uint16)))
    for mask in (IndexMask(path, plain_values(4, 255)), ColorMask(path, COLORS)):
        with pytest.raises(DeeplabError, match="has colours of 16 bits"):
            mask.read()


def test_transparent_pixels_have_their_own_meaning(tmp_path):
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, 1] = 0, 0, 0, 255
    pixels[0, 2] = 128, 64, 0, 255
    path = save(Image.fromarray(pixels), tmp_path / "a.png")
    assert ColorMask(path, COLORS, transparent=VOID).read().tolist() == [[VOID, 0, 1]]
    with pytest.raises(DeeplabError, match='transparent at pixel x=0, y=0; .* "transparent" in'):
        ColorMask(path, COLORS).read()


def test_a_later_layer_covers_an_earlier_one(tmp_path):
    road = save(Image.fromarray(np.array([[255, 255, 0]], np.uint8)), tmp_path / "road.png")
    car = save(Image.fromarray(np.array([[0, 1, 0]], np.uint8)), tmp_path / "car.png")
    mask = LayeredMask(((road, 1), (car, 2), (tmp_path / "none.png", 3)), background=0)
    assert mask.read().tolist() == [[1, 2, 0]] and str(mask) == str(road)
    other = LayeredMask(((car, 2), (road, 1)), background=0)
    assert other.read().tolist() == [[1, 1, 0]] and other.digest() != mask.digest()
    save(Image.fromarray(np.array([[0, 1, 2]], np.uint8)), car)
    with pytest.raises(DeeplabError, match=r"has the values 1 \(at pixel x=1, y=0\) and 2"):
        mask.read()
    save(Image.new("L", (3, 2)), car)
    with pytest.raises(DeeplabError, match="must have one size"):
        mask.read()
    with pytest.raises(FileNotFoundError):
        LayeredMask(((tmp_path / "none.png", 3),), background=0).read()


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
