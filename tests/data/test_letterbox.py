"""A letterbox of the training against the frame in which a network of that size predicts."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from support.fuzz import cases

from deeplab_tf.config import DataConfig, Fit
from deeplab_tf.config.image_format import RGB, ImageFormat
from deeplab_tf.data.geometry import sample_geometry
from deeplab_tf.data.training_example import make_example
from deeplab_tf.images.classes import VOID
from deeplab_tf.images.frame import into_frame
from deeplab_tf.images.resampling import shrink_images

SEED = tf.constant([7, 0], tf.int64)
FILL = np.array([123, 116, 103], np.uint8)
MEAN = tuple(map(float, FILL))
DATA = DataConfig(crop_size=24, crop_width=32, fit=Fit.LETTERBOX, flip=False)


@cases(60)
@given(*[st.integers(1, 3000)] * 2, *[st.integers(1, 700)] * 2)
def test_a_letterbox_has_the_size_and_place_that_a_network_of_that_size_predicts_at(
    height, width, crop_height, crop_width
):
    data = DataConfig(crop_size=crop_height, crop_width=crop_width, fit=Fit.LETTERBOX)
    source = tf.constant([height, width], tf.int64)
    geometry = sample_geometry(source, SEED, data)
    image = np.broadcast_to(np.uint8(0), (height, width, 3))
    _, inner = into_frame(image, data.crop, np.zeros(3, np.uint8))
    assert tuple(geometry.size) == inner
    assert tuple(geometry.offset) == (0, 0)


@pytest.mark.parametrize("size", [(240, 300), (100, 37), (30, 400), (24, 32), (9, 13)], ids=str)
@pytest.mark.parametrize("rotation", [0.0, 1e-6])
def test_a_network_is_trained_on_the_pixels_that_it_is_shown_in_prediction(size, rotation):
    generator = np.random.default_rng(sum(size))
    image = generator.integers(0, 256, (*size, 3), np.uint8)
    mask = generator.integers(0, 5, size, np.uint8)
    data = dataclasses.replace(DATA, rotation=rotation)
    got, labels = make_example(tf.constant(image), tf.constant(mask), SEED, data, RGB, MEAN)
    want, (height, width) = into_frame(image, data.crop, FILL)
    # Pillow rounds after each of its two passes, TensorFlow once.
    np.testing.assert_allclose(got, want[0], atol=1.01)
    rows = (2 * np.arange(height) + 1) * size[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * size[1] // (2 * width)
    expected = np.full(data.crop, VOID, np.uint8)
    expected[:height, :width] = mask[rows][:, columns]
    np.testing.assert_array_equal(labels, expected)


def test_a_mirrored_letterbox_is_the_mirror_of_the_whole_crop():
    image = np.random.default_rng(1).integers(0, 256, (60, 50, 3), np.uint8)
    mask = image[..., 0] % 5
    plain, flipped = None, None
    for number in range(20):
        seed = tf.constant([7, number], tf.int64)
        data = dataclasses.replace(DATA, flip=True)
        got = make_example(tf.constant(image), tf.constant(mask), seed, data, RGB, MEAN)
        if sample_geometry(tf.constant(mask.shape, tf.int64), seed, data).flip:
            flipped = got
        else:
            plain = got
    assert plain and flipped
    for one, other in zip(plain, flipped, strict=True):
        np.testing.assert_array_equal(one, other[:, ::-1])


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint16, 16), (np.float32, 32)])
def test_other_bands_are_shrunk_as_in_a_prediction_in_a_graph_too(dtype, bits):
    image_format = ImageFormat(5, bits, (900.0,) * 5, (300.0,) * 5)
    image = np.random.default_rng(2).normal(900, 300, (96, 128, 5)).clip(0, 65535).astype(dtype)
    mask = np.zeros((96, 128), np.uint8)
    run = tf.function(
        lambda image, mask: make_example(image, mask, SEED, DATA, image_format, image_format.mean)
    )
    got, _ = run(tf.constant(image), tf.constant(mask))
    np.testing.assert_array_equal(got, shrink_images(image[None], 32)[0])
