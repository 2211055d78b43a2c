"""The noise has the mean, the deviation and the independence that are asked for."""

import numpy as np
import tensorflow as tf

from deeplab_tf.config import DataConfig
from deeplab_tf.config.image_format import RGB, ImageFormat
from deeplab_tf.data.draws import Draw, uniform
from deeplab_tf.data.noise import noise_at_random

SIDE = 200


def drawn(seed: tf.Tensor) -> tuple[float, float]:
    happens, strength, _ = (draw.numpy() for draw in uniform(Draw.NOISE, seed, 3))
    return happens, strength


def test_noise_is_normal_of_the_deviation_drawn_and_independent_of_its_neighbours():
    image = tf.fill([SIDE, SIDE, 3], 128.0)
    data, noisy, last = DataConfig(noise=0.05), 0, np.zeros(image.shape)
    for number in range(16):
        seed = tf.constant([5, number], tf.int64)
        happens, strength = drawn(seed)
        noise = noise_at_random(image, seed, data, RGB).numpy() - 128
        if happens >= 0.5:
            assert not noise.any()
            continue
        noisy += 1
        deviation = 0.05 * (1 - strength) * 255
        noise = noise / deviation
        # 120,000 values: the standard errors are 0.003 of the mean, 0.002 of the deviation and
        # 0.014 of the kurtosis.
        assert abs(noise.mean()) < 0.015
        assert abs(noise.std() - 1) < 0.01
        assert abs((noise**4).mean() - 3) < 0.07
        for one, other in (
            (noise[1:], noise[:-1]),
            (noise[:, 1:], noise[:, :-1]),
            (noise[..., :2], noise[..., 1:]),
            (noise, last),
        ):
            assert abs((one * other).mean()) < 0.015
        last = noise
    assert 3 <= noisy <= 13


def test_bands_get_noise_by_their_own_deviation_and_values_stay_in_range():
    four = ImageFormat(4, 16, (3000.0,) * 4, (1.0, 10.0, 100.0, 1000.0))
    image = tf.fill([SIDE, SIDE, 4], 3000.0)
    seed = next(
        seed
        for seed in (tf.constant([6, number], tf.int64) for number in range(20))
        if drawn(seed)[0] < 0.5
    )
    noisy = noise_at_random(image, seed, DataConfig(noise=0.1), four).numpy()
    deviation = 0.1 * (1 - drawn(seed)[1]) * 4 * np.array(four.std)
    np.testing.assert_allclose((noisy - 3000).std(axis=(0, 1)), deviation, rtol=0.02)
    wide = ImageFormat(4, 16, (3000.0,) * 4, (60_000.0,) * 4)
    clipped = noise_at_random(image, seed, DataConfig(noise=1.0), wide).numpy()
    assert clipped.min() == 0 and clipped.max() == 65535
