"""The crop in one go against the plain definition: resize the whole, pad, crop, mirror."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from support.random_crop import random_crop

from deeplab_tf.config import DataConfig
from deeplab_tf.data.geometry import Geometry, sample_geometry
from deeplab_tf.images.classes import VOID

MEAN = (123.15, 115.90, 103.06)
SMALL = DataConfig(crop_size=33)


@tf.function(reduce_retracing=True)
def _augment_33(image, mask, seed):
    return random_crop(image, mask, seed, SMALL, MEAN)


def _seed(number: int) -> tf.Tensor:
    return tf.constant([7, number], tf.int64)


def _geometry(height: int, width: int, seed: tf.Tensor, data: DataConfig) -> Geometry:
    source = tf.constant([height, width], tf.int64)
    return Geometry(*(part.numpy() for part in sample_geometry(source, seed, data)))


def _plain(image, mask, geometry: Geometry, crop) -> tuple[np.ndarray, np.ndarray]:
    """Resize, pad right and bottom, crop, mirror: TensorFlow's resize for the image, integers for
    the mask."""
    (height, width), (top, left) = geometry.size, geometry.offset
    resized = tf.image.resize(image, (height, width), method="bilinear").numpy()
    # The centre of resized row d lies in source row floor((d + 1/2) * H / height).
    rows = (2 * np.arange(height) + 1) * mask.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * mask.shape[1] // (2 * width)
    nearest = mask[rows][:, columns]
    bottom, right = max(crop[0] - height, 0), max(crop[1] - width, 0)
    padded = np.empty((height + bottom, width + right, 3), np.float32)
    padded[:] = MEAN
    padded[:height, :width] = resized
    nearest = np.pad(nearest, ((0, bottom), (0, right)), constant_values=VOID)
    window = np.s_[top : top + crop[0], left : left + crop[1]]
    step = -1 if geometry.flip else 1
    return padded[window][:, ::step], nearest[window][:, ::step]


SIZES = [(1, 1), (1, 2000), (2000, 1), (2, 3), (17, 17), (33, 33), (40, 65), (66, 66), (150, 90)]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_equals_resize_pad_crop_flip(size):
    generator = np.random.default_rng(sum(size))
    image = generator.integers(0, 256, (*size, 3), np.uint8)
    mask = generator.integers(0, 256, size, np.uint8)
    for number in range(12):
        seed = _seed(number)
        got_image, got_mask = _augment_33(image, mask, seed)
        want_image, want_mask = _plain(image, mask, _geometry(*size, seed, SMALL), (33, 33))
        assert got_image.dtype == tf.float32
        assert got_mask.dtype == tf.uint8
        # tf.image.resize finds its weights in float32 coordinates: 1e-4 pixel at 1000 * 255 levels.
        np.testing.assert_allclose(got_image, want_image, atol=0.05)
        np.testing.assert_array_equal(got_mask, want_mask)


@pytest.mark.parametrize("size", [(1, 1), (7, 90), (90, 7), (30, 20), (50, 80)], ids=str)
def test_a_crop_that_is_not_square_equals_the_same_steps(size):
    data = DataConfig(crop_size=21, crop_width=38)
    generator = np.random.default_rng(sum(size))
    image = generator.integers(0, 256, (*size, 3), np.uint8)
    mask = generator.integers(0, 256, size, np.uint8)
    for number in range(4):
        seed = _seed(number)
        got_image, got_mask = random_crop(image, mask, seed, data, MEAN)
        geometry = _geometry(*size, seed, data)
        want_image, want_mask = _plain(image, mask, geometry, (21, 38))
        assert got_image.shape == (21, 38, 3)
        np.testing.assert_allclose(got_image, want_image, atol=0.05)
        np.testing.assert_array_equal(got_mask, want_mask)


def test_padding_is_exactly_the_mean_pixel_and_void():
    image = np.zeros((10, 10, 3), np.uint8)
    got_image, got_mask = _augment_33(image, image[..., 0], _seed(0))
    height, width = _geometry(10, 10, _seed(0), SMALL).size
    void = got_mask.numpy() == VOID
    assert void.sum() == 33 * 33 - height * width
    assert (got_image.numpy()[void] == np.float32(MEAN)).all()
    assert (got_image.numpy()[~void] == 0).all()


def test_mask_agrees_with_tensorflows_nearest_resize():
    # Sizes at which float32 coordinates cannot fall on the wrong side of a boundary.
    data = dataclasses.replace(SMALL, min_scale=2.0, max_scale=2.0, flip=False, crop_size=64)
    mask = np.random.default_rng(0).integers(0, 21, (32, 32), np.uint8)
    _, got = random_crop(np.zeros((32, 32, 3), np.uint8), mask, _seed(0), data, MEAN)
    want = tf.image.resize(mask[..., None], (64, 64), method="nearest")[..., 0]
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("crop", [513, 97])
def test_image_and_mask_stay_aligned(crop):
    # Regions whose colour is their class: wherever no two regions blend, the image names the class.
    generator = np.random.default_rng(1)
    blocks = generator.integers(0, 21, (6, 8), np.uint8)
    mask = np.kron(blocks, np.ones((45, 45), np.uint8))
    image = np.stack([mask * 12] * 3, axis=-1)
    data = DataConfig(crop_size=crop)
    flips = 0
    for number in range(8):
        got_image, got_mask = (
            part.numpy() for part in random_crop(image, mask, _seed(number), data, MEAN)
        )
        covered = got_mask != VOID
        coded = got_image[..., 0] / 12
        pure = covered & np.isclose(coded, np.round(coded), atol=1e-3)
        for shift in ((0, 3), (0, -3), (3, 0), (-3, 0)):
            pure &= got_mask == np.roll(got_mask, shift, (0, 1))
        assert pure.sum() > 0.5 * covered.sum()
        np.testing.assert_array_equal(np.round(coded[pure]), got_mask[pure])
        flips += bool(_geometry(*mask.shape, _seed(number), data).flip)
    assert 0 < flips < 8


def test_masks_get_no_label_that_was_not_there():
    mask = np.zeros((50, 60), np.uint8)
    mask[10:30, 20:50] = 20
    for number in range(20):
        _, got = _augment_33(np.zeros((50, 60, 3), np.uint8), mask, _seed(number))
        assert set(np.unique(got)) <= {0, 20, VOID}


def test_equal_seeds_give_equal_crops_and_others_differ():
    image = np.random.default_rng(2).integers(0, 256, (80, 80, 3), np.uint8)
    first = _augment_33(image, image[..., 0], _seed(3))[0].numpy()
    np.testing.assert_array_equal(first, _augment_33(image, image[..., 0], _seed(3))[0])
    assert not np.array_equal(first, _augment_33(image, image[..., 0], _seed(4))[0])


def test_draws_follow_the_config():
    data = DataConfig(crop_size=100, min_scale=0.5, max_scale=2.0)
    source = tf.constant([200, 100], tf.int64)
    seeds = tf.stack([tf.zeros(2000, tf.int64), tf.range(2000, dtype=tf.int64)], axis=1)

    @tf.function
    def draw_all(seeds):
        return tf.map_fn(
            lambda seed: sample_geometry(source, seed, data),
            seeds,
            fn_output_signature=Geometry(tf.int64, tf.int64, tf.bool),
        )

    drawn = draw_all(seeds)
    scale = drawn.size[:, 0].numpy() / 200
    assert 0.5 <= scale.min() < 0.51
    assert 1.99 < scale.max() <= 2.0
    # Uniform in [0.5, 2]: mean 1.25, standard error 0.433 / sqrt(2000) = 0.0097.
    assert abs(scale.mean() - 1.25) < 0.04
    assert abs(drawn.flip.numpy().mean() - 0.5) < 0.045
    slack = np.maximum(drawn.size.numpy() - 100, 0)
    offset = drawn.offset.numpy()
    assert (offset >= 0).all()
    assert (offset <= slack).all()
    assert (offset[slack == 0] == 0).all()
    share = offset[:, 0][slack[:, 0] > 20] / slack[:, 0][slack[:, 0] > 20]
    assert abs(share.mean() - 0.5) < 0.03
    assert share.max() == 1
    assert share.min() == 0


def test_flip_off_and_fixed_scale_leave_a_fitting_image_as_it_is():
    data = DataConfig(crop_size=40, min_scale=1.0, max_scale=1.0, flip=False)
    image = np.random.default_rng(3).integers(0, 256, (40, 40, 3), np.uint8)
    for number in range(4):
        got_image, got_mask = random_crop(image, image[..., 1], _seed(number), data, MEAN)
        np.testing.assert_array_equal(got_image, image)
        np.testing.assert_array_equal(got_mask, image[..., 1])
