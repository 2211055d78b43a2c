"""Colours against colorsys and numpy in float64, and Pillow's grey; how often each change comes."""

import colorsys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_tf.config import DataConfig
from deeplab_tf.config.image_format import RGB, ImageFormat
from deeplab_tf.data import photometric
from deeplab_tf.data.draws import Draw, uniform

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.float32)
# Pixels whose hue or saturation is not defined, or at the ends of the range.
PIXELS[0, :8] = [(0, 0, 0), (255, 255, 255), (9, 9, 9), (255, 0, 0)] * 2
PIXELS[0, 8:12] = [(0, 255, 255), (255, 0, 255), (0, 0, 1), (254, 255, 255)]
FIVE = ImageFormat(5, 16, (100.0, 2e3, 3e3, 6e4, 5.0), (10.0, 200.0, 300.0, 4e3, 1.0))


def by_hsv(pixels, change) -> np.ndarray:
    """Applies `change(h, s, v)` to each pixel in float64."""
    changed = [
        colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*(pixel / 255))))
        for pixel in pixels.reshape(-1, 3).astype(np.float64)
    ]
    return np.reshape(changed, pixels.shape) * 255


def with_hues_turned(pixels, turn: float) -> np.ndarray:
    return by_hsv(pixels, lambda h, s, v: ((h + turn) % 1, s, v))


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 1.5, 2.0])
def test_saturation_is_that_of_hsv(factor):
    want = by_hsv(PIXELS, lambda h, s, v: (h, min(s * factor, 1), v))
    np.testing.assert_allclose(photometric.saturate(PIXELS, factor), want, atol=2e-3)


@pytest.mark.parametrize("turn", [-0.5, -0.1, 0.0, 0.03, 0.1, 0.5])
def test_hues_turn_on_the_circle_of_hsv(turn):
    want = with_hues_turned(PIXELS, turn)
    np.testing.assert_allclose(photometric.turn_hues(PIXELS, turn), want, atol=2e-3)


def seeds(count: int) -> list[tf.Tensor]:
    return [tf.constant([3, number], tf.int64) for number in range(count)]


def drawn(seed) -> np.ndarray:
    return np.array([draw.numpy() for draw in uniform(Draw.PHOTOMETRIC, seed, 9)], np.float64)


@pytest.mark.parametrize(("bands", "image_format"), [(3, RGB), (5, FIVE)], ids=["rgb", "five"])
def test_brightness_and_contrast_are_those_drawn(bands, image_format):
    most = 255 if image_format.is_rgb else 65535
    image = np.random.default_rng(1).uniform(0, most, (6, 7, bands)).astype(np.float32)
    data = DataConfig(brightness=0.125, contrast=0.5)
    span = 255 if image_format.is_rgb else 4 * np.array(FIVE.std)
    pivot = 0 if image_format.is_rgb else np.array(FIVE.mean)
    ways = set()
    for seed in seeds(16):
        u = drawn(seed)
        want = image.astype(np.float64)
        # Without saturation and hue between them, contrast comes after brightness either way.
        if u[0] < 0.5:
            want = np.clip(want + (2 * u[4] - 1) * 0.125 * span, 0, most)
        if u[1] < 0.5:
            factor = 1 + (2 * u[5] - 1) * 0.5
            want = np.clip(pivot + (want - pivot) * factor, 0, most)
        ways.add((u[0] < 0.5, u[1] < 0.5))
        got = photometric.distort_colours(image, seed, data, image_format)
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=most * 1e-6)
    assert len(ways) == 4


def test_contrast_comes_before_or_after_the_colours():
    """A pixel that contrast clips loses its hue, so the order shows."""
    image = np.full((1, 1, 3), (250, 200, 10), np.float32)
    data = DataConfig(contrast=1.0, hue=0.5)
    orders = set()
    for seed in seeds(80):
        u = drawn(seed)
        factor, turn = 2 * u[5], (2 * u[7] - 1) * 0.5
        if u[1] >= 0.5 or u[3] >= 0.5 or factor < 1.3:
            continue
        first = with_hues_turned(np.clip(image * factor, 0, 255), turn)
        last = np.clip(with_hues_turned(image, turn) * factor, 0, 255)
        got = photometric.distort_colours(image, seed, data, RGB)
        np.testing.assert_allclose(got, first if u[8] < 0.5 else last, atol=2e-3)
        if not np.allclose(first, last, atol=1):
            orders.add(u[8] < 0.5)
    assert orders == {True, False}


def test_half_of_the_examples_change_over_the_whole_range():
    image = tf.constant([[[100.0, 100.0, 100.0]]])
    data = DataConfig(brightness=0.125)
    examples = tf.data.Dataset.range(4000).map(
        lambda number: photometric.distort_colours(image, tf.stack([0, number]), data, RGB)
    )
    got = np.ravel([*examples.as_numpy_iterator()])[::3]
    added = got - 100
    changed = added[added != 0]
    # The standard error of a share of 4000 is 0.8 %.
    assert abs(len(changed) / 4000 - 0.5) < 0.03
    assert -31.876 <= changed.min() < -31.5
    assert 31.5 < changed.max() <= 31.876
    assert abs(changed.mean()) < 1.6  # 18.4 / sqrt(2000) = 0.4


def test_floats_of_32_bits_are_not_clipped():
    heights = ImageFormat(1, 32, (500.0,), (50.0,))
    image = tf.constant([[[-3000.0], [1e6]]])
    data = DataConfig(brightness=1.0)
    for seed in seeds(8):
        u = drawn(seed)
        got = photometric.distort_colours(image, seed, data, heights).numpy()
        want = image + ((2 * u[4] - 1) * 200 if u[0] < 0.5 else 0)
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_grey_is_pillows_in_all_three_channels():
    want = np.asarray(Image.fromarray(PIXELS.astype(np.uint8)).convert("L"), np.float32)
    got = photometric.grey_at_random(PIXELS, seeds(1)[0], DataConfig(grey=1.0)).numpy()
    assert (got == got[..., :1]).all()
    assert np.abs(got[..., 0] - want).max() <= 0.51  # Pillow rounds
    results = [
        photometric.grey_at_random(tf.constant(PIXELS), seed, DataConfig(grey=0.25)).numpy()
        for seed in seeds(200)
    ]
    changed = sum(not np.array_equal(result, PIXELS) for result in results)
    assert 25 < changed < 75  # 50, standard error 6
