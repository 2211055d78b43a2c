import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import whole
from deeplab_tf.images.classes import SHAPES, VOC
from deeplab_tf.images.drawing import (
    OVERLAY_OPACITY,
    labels_image,
    overlay,
    write_labels,
    write_overlay,
)
from deeplab_tf.images.files import read_image, read_pixels
from deeplab_tf.images.marks import are_labels, is_overlay

RED = (200, 30, 10)


def saved(tmp_path, image, name, **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


def cmyk_red():
    return Image.new("RGB", (4, 3), RED).convert("CMYK")


@pytest.mark.parametrize(
    ("image", "name", "pixel"),
    [
        (Image.new("L", (4, 3), 77), "grey.png", (77, 77, 77)),
        (Image.new("LA", (4, 3), (77, 0)), "grey_alpha.png", (77, 77, 77)),
        (Image.new("RGBA", (4, 3), (*RED, 0)), "rgba.png", RED),
        (Image.new("RGB", (4, 3), RED).quantize(2), "palette.png", RED),
        (Image.new("1", (4, 3), 1), "bits.png", (255, 255, 255)),
        (Image.new("RGB", (1, 1), RED), "one.png", RED),
        (Image.fromarray(np.full((3, 4), 40_000, np.uint16)), "grey16.png", (156, 156, 156)),
        (Image.new("L", (4, 3), 77), "grey.jpg", (77, 77, 77)),
        (cmyk_red(), "cmyk.jpg", RED),
    ],
)
def test_every_mode_becomes_rgb(tmp_path, image, name, pixel):
    pixels = read_pixels(saved(tmp_path, image, name))
    assert pixels.dtype == np.uint8
    assert pixels.shape == (image.height, image.width, 3)
    tolerance = 3 if name.endswith(".jpg") else 0
    np.testing.assert_allclose(pixels, np.broadcast_to(pixel, pixels.shape), atol=tolerance)


@pytest.mark.parametrize(("width", "height"), [(1, 2000), (2000, 1)])
def test_thin_images(tmp_path, width, height):
    image = Image.new("RGB", (width, height), RED)
    assert read_pixels(saved(tmp_path, image, "thin.jpg")).shape == (height, width, 3)


def test_exif_turns_the_image_upright(tmp_path):
    image = Image.new("RGB", (16, 8), "black")
    image.paste((255, 255, 255), (0, 0, 8, 8))  # white on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise: the left comes to the top
    pixels = read_pixels(saved(tmp_path, image, "turned.jpg", exif=exif, quality=100))
    assert pixels.shape == (16, 8, 3)
    assert pixels[:8].min() > 250
    assert pixels[8:].max() < 5


@pytest.mark.parametrize(
    "exif", [b"Exif\x00\x00no TIFF at all", b"Exif\x00\x00II", b"Exif\x00\x00"]
)
def test_a_broken_exif_header_costs_nothing(tmp_path, exif):
    Image.new("RGB", (6, 4), RED).save(tmp_path / "a.jpg", dpi=(72, 72), quality=95)
    content = (tmp_path / "a.jpg").read_bytes()
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif
    (tmp_path / "a.jpg").write_bytes(content[:20] + segment + content[20:])  # after JFIF's
    assert read_pixels(tmp_path / "a.jpg").shape == (4, 6, 3)
    assert read_image(tmp_path / "a.jpg")[1:] == ((6, 4), 1)


@pytest.mark.parametrize("content", [b"", b"not a picture", None])
def test_unreadable_file_is_named(tmp_path, content):
    path = tmp_path / "photo.jpg"
    if content is None:
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
        Image.fromarray(noise).save(path)
        content = path.read_bytes()[:1500]
    path.write_bytes(content)
    with pytest.raises(DeeplabError, match=r"image .*photo\.jpg cannot be read: \w+"):
        read_pixels(path)


def test_pixels_are_those_of_the_records(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 14, 3)).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 5
    for path in (
        saved(tmp_path, noise, "plain.jpg"),
        saved(tmp_path, noise, "turned.jpg", exif=exif),
        saved(tmp_path, noise.convert("CMYK"), "cmyk.jpg"),
        saved(tmp_path, noise.quantize(9), "palette.png"),
        saved(tmp_path, noise.convert("RGBA"), "rgba.png"),
    ):
        encoded, _, _ = read_image(path)
        # The exact transform, as in the pipeline; TensorFlow's default is a faster, rougher one.
        decoded = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
        np.testing.assert_array_equal(read_pixels(path), decoded)


def test_labels_are_written_as_the_files_of_voc(tmp_path):
    labels = np.array([[0, 1, 20], [255, 15, 3]], np.uint8)
    write_labels(labels, VOC, tmp_path / "labels.png")
    with Image.open(tmp_path / "labels.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), labels)
        colors = np.asarray(image.convert("RGB"))
    assert colors[0, 1].tolist() == [128, 0, 0]  # VOC's aeroplane
    assert colors[1, 0].tolist() == [224, 224, 192]  # and its void


def test_overlay_blends_all_but_the_background():
    image = np.full((30, 300, 3), 100, np.uint8)
    labels = np.zeros((30, 300), np.uint8)
    labels[:, :150] = 1
    pixels = np.asarray(overlay(image, labels, SHAPES))
    np.testing.assert_array_equal(pixels[:30, 150:], image[:, 150:])
    expected = 100 * (1 - OVERLAY_OPACITY) + np.array(SHAPES.palette[1]) * OVERLAY_OPACITY
    np.testing.assert_allclose(pixels[:30, :150], np.broadcast_to(expected, (30, 150, 3)), atol=1)
    legend = pixels[30:]
    swatches = {tuple(color) for color in legend.reshape(-1, 3).tolist()}
    assert SHAPES.palette[1] in swatches
    assert SHAPES.palette[2] not in swatches


@pytest.mark.parametrize(
    ("size", "drawn"),
    [((1, 1), (1 + 28, 240)), ((2000, 1), (2000 + 6 * 20 + 8, 240)), ((1, 9000), (1 + 28, 4096))],
)
def test_overlay_of_odd_sizes(tmp_path, size, drawn):
    labels = np.arange(np.prod(size), dtype=np.uint32).reshape(size) % 6
    path = tmp_path / "x.jpg"
    write_overlay(np.zeros((*size, 3), np.uint8), labels.astype(np.uint8), SHAPES, path)
    assert read_pixels(path).shape == (*drawn, 3)
    assert list(tmp_path.iterdir()) == [path]


def test_no_cut_overlay_on_a_full_disk(tmp_path, monkeypatch):
    (tmp_path / "full").symlink_to("/dev/full")
    monkeypatch.setattr(whole, "temporary_path", lambda *_: tmp_path / "full")
    with pytest.raises(OSError, match=r"No space left on device: .*a\.jpg"):
        write_overlay(
            np.zeros((300, 400, 3), np.uint8),
            np.ones((300, 400), np.uint8),
            VOC,
            tmp_path / "a.jpg",
        )
    assert list(tmp_path.iterdir()) == []


def test_our_pictures_are_known_and_masks_and_photos_are_not(tmp_path):
    labels, image = np.ones((30, 300), np.uint8), np.zeros((30, 300, 3), np.uint8)
    ours, drawn = tmp_path / "a.png", tmp_path / "a_overlay.jpg"
    write_labels(labels, VOC, ours)
    write_overlay(image, labels, VOC, drawn)
    assert are_labels(ours) and is_overlay(drawn)
    mask, photo = tmp_path / "b.png", tmp_path / "b_overlay.jpg"
    Image.open(ours).save(mask)  # the same palette, as a data set's masks have it
    Image.fromarray(image).save(photo)
    assert not are_labels(mask) and not is_overlay(photo)
    assert not are_labels(tmp_path / "absent.png")
    (tmp_path / "c.png").write_bytes(b"\x89PNG")
    assert not are_labels(tmp_path / "c.png")


@pytest.mark.parametrize("size", [(30, 40), (30, 300), (200, 4999)])
def test_pictures_of_earlier_versions_are_known_by_the_pair(tmp_path, size):
    labels, image = np.ones(size, np.uint8), np.zeros((*size, 3), np.uint8)
    labels_image(labels, VOC).save(tmp_path / "a.png")
    assert not are_labels(tmp_path / "a.png")
    overlay(image, labels, VOC).save(tmp_path / "a_overlay.jpg")
    assert are_labels(tmp_path / "a.png") and is_overlay(tmp_path / "a_overlay.jpg")
