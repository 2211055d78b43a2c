"""JPEG against Pillow's at the same quality."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_tf.config import DataConfig
from deeplab_tf.data.draws import Draw, uniform
from deeplab_tf.data.jpeg import compress, jpeg_at_random

ROWS, COLUMNS = np.mgrid[:61, :83]
SMOOTH = np.stack([ROWS * 4, COLUMNS * 3, 255 - ROWS * 2 - COLUMNS], axis=-1).clip(0, 255)
NOISE = np.random.default_rng(0).integers(0, 256, (61, 83, 3))


def by_pillow(image, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(np.round(image).astype(np.uint8)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file), np.float32)


@pytest.mark.parametrize("quality", [1, 30, 75, 95])
@pytest.mark.parametrize("image", [SMOOTH, NOISE], ids=["smooth", "noise"])
def test_equals_pillow(image, quality):
    image = (image + 0.3).clip(0, 255).astype(np.float32)
    got = compress(tf.constant(image), quality).numpy()
    np.testing.assert_array_equal(got, by_pillow(image, quality))


@pytest.mark.parametrize("size", [(1, 1), (1, 17), (8, 9)], ids=str)
def test_sizes_that_are_no_blocks(size):
    image = np.full((*size, 3), 77, np.float32)
    got = compress(tf.constant(image), 90).numpy()
    assert got.shape == image.shape and np.abs(got - 77).max() <= 1


def test_qualities_are_drawn_from_the_lowest_on():
    image, qualities = tf.constant(NOISE[:8, :8], tf.float32), set()
    data = DataConfig(jpeg_quality=94)
    for number in range(40):
        seed = tf.constant([2, number], tf.int64)
        happens, draw = (x.numpy() for x in uniform(Draw.JPEG, seed, 2))
        got = jpeg_at_random(image, seed, data).numpy()
        quality = 94 + int(draw >= 0.5) if happens < 0.5 else None
        want = image.numpy() if quality is None else by_pillow(image.numpy(), quality)
        np.testing.assert_array_equal(got, want)
        qualities.add(quality)
    assert qualities == {None, 94, 95}
