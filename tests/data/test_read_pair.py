"""Every odd image and mask: stored right, or refused with its name."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_tf.data.read_pair import read_pair
from deeplab_tf.data.sources.masks import IndexMask, plain_values
from deeplab_tf.data.sources.source import Pair
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.files import read_image

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (30, 50, 3), dtype=np.uint8)


def save(picture, path, **options):
    picture.save(path, **options)
    return path


def pair_of(image, mask):
    return Pair("a", image, IndexMask(mask, plain_values(21, 255)))


def seen_by_tensorflow(data):
    return tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE").numpy()


@pytest.mark.parametrize(
    ("mode", "suffix", "options"),
    [
        ("RGB", "jpg", {}),
        ("RGB", "jpg", {"progressive": True, "subsampling": 0}),
        ("L", "jpg", {}),
        ("RGB", "png", {}),
        ("L", "png", {}),
        ("P", "png", {}),
    ],
)
def test_plain_images_keep_their_bytes_and_tensorflow_sees_what_pillow_sees(
    tmp_path, mode, suffix, options
):
    path = save(Image.fromarray(PIXELS).convert(mode), tmp_path / f"a.{suffix}", **options)
    data, size, _ = read_image(path)
    assert data == path.read_bytes() and size == (50, 30)
    expected = np.asarray(Image.open(path).convert("RGB"))
    np.testing.assert_array_equal(seen_by_tensorflow(data), expected)


@pytest.mark.parametrize(
    ("mode", "suffix", "options"),
    [
        ("CMYK", "jpg", {}),
        ("RGBA", "png", {}),
        ("LA", "png", {}),
        ("P", "png", {"transparency": 3}),
        ("P", "png", {"bits": 4}),
        ("1", "png", {}),
        ("RGB", "bmp", {}),
    ],
)
def test_other_images_become_rgb_png_without_loss(tmp_path, mode, suffix, options):
    picture = Image.fromarray(PIXELS)
    picture = picture.quantize(16) if "bits" in options else picture.convert(mode)
    path = save(picture, tmp_path / f"a.{suffix}", **options)
    data, size, _ = read_image(path)
    stored = Image.open(io.BytesIO(data))
    assert (stored.format, stored.mode, stored.size, size) == ("PNG", "RGB", (50, 30), (50, 30))
    expected = np.asarray(Image.open(path).convert("RGB"))
    np.testing.assert_array_equal(seen_by_tensorflow(data), expected)


def test_of_16_bits_the_upper_8_stay(tmp_path):
    deep = PIXELS[..., 0].astype(np.uint16) * 256 + 200
    data, _, _ = read_image(save(Image.fromarray(deep), tmp_path / "a.png"))
    np.testing.assert_array_equal(seen_by_tensorflow(data), PIXELS[..., :1].repeat(3, -1))


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.swapaxes(0, 1)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a[::-1, ::-1].swapaxes(0, 1)),
        (8, lambda a: np.rot90(a)),
    ],
)
def test_exif_orientation_is_applied(tmp_path, orientation, upright):
    path = save(Image.fromarray(PIXELS), tmp_path / "a.jpg", exif=exif(orientation))
    flat = np.asarray(Image.open(path))
    data, size, found = read_image(path)
    np.testing.assert_array_equal(seen_by_tensorflow(data), upright(flat))
    assert size == upright(flat).shape[1::-1] and found == orientation


def test_a_mask_that_ignores_the_exif_rotation_is_reported(tmp_path):
    image = save(Image.fromarray(PIXELS), tmp_path / "a.jpg", exif=exif(6))
    mask = save(Image.new("L", (50, 30)), tmp_path / "a.png")
    with pytest.raises(DeeplabError, match=r"a\.png is 50x30 .*a\.jpg is 30x50.*EXIF orient.* 6"):
        read_pair(pair_of(image, mask))
    save(Image.new("L", (30, 50)), mask)
    assert read_pair(pair_of(image, mask))[1].shape == (50, 30)


def test_a_mask_of_another_size_is_refused(tmp_path):
    image = save(Image.fromarray(PIXELS), tmp_path / "a.jpg")
    mask = save(Image.new("L", (50, 31)), tmp_path / "a.png")
    with pytest.raises(DeeplabError, match=r"a\.png is 50x31 .*a\.jpg is 50x30: they must be eq"):
        read_pair(pair_of(image, mask))


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (2000, 1)])
def test_the_smallest_and_thinnest_pairs_are_read(tmp_path, size):
    image = save(Image.new("RGB", size, (9, 8, 7)), tmp_path / "a.jpg")
    mask = save(Image.new("L", size, 20), tmp_path / "a.png")
    data, mask_read = read_pair(pair_of(image, mask))
    assert data == image.read_bytes()
    assert mask_read.shape == size[::-1] and (mask_read == 20).all()


def test_missing_files_are_named(tmp_path):
    pair = pair_of(tmp_path / "a.jpg", tmp_path / "a.png")
    with pytest.raises(DeeplabError, match=r"image .*/a\.jpg is missing; .* take a off the list"):
        read_pair(pair)
    save(Image.fromarray(PIXELS), pair.image)
    with pytest.raises(DeeplabError, match=r"a\.jpg has no mask: .*/a\.png is missing; .* a off"):
        read_pair(pair)


def test_cut_files_are_refused(tmp_path):
    for suffix, lengths in (("jpg", (0, 10, 300, -200, -1)), ("png", (0, 10, 300, -200))):
        path = save(Image.fromarray(PIXELS), tmp_path / f"a.{suffix}")
        whole = path.read_bytes()
        for length in lengths:
            path.write_bytes(whole[:length])
            with pytest.raises(DeeplabError, match=rf"image .*a\.{suffix} cannot be read: .*repl"):
                read_image(path)


def test_a_file_that_is_no_image_is_refused(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_text("<html>404 not found</html>")
    with pytest.raises(DeeplabError, match=r"image .*a\.jpg cannot be read: it is no image"):
        read_image(path)
