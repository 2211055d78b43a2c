"""The blur against scipy's Gaussian filter over the known pixels."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import gaussian_filter1d

from deeplab_tf.config import DataConfig
from deeplab_tf.data.blur import blur, blur_at_random
from deeplab_tf.data.draws import Draw, uniform


def by_scipy(image, hidden, sigma) -> np.ndarray:
    """The mean over known pixels in float64: a filtered sum over a filtered count."""
    known = (~hidden).astype(np.float64)[..., None]

    def smooth(values):
        for axis in (0, 1):
            values = gaussian_filter1d(
                values, sigma, axis, mode="constant", radius=int(np.ceil(np.float32(3 * sigma)))
            )
        return values

    return smooth(image * known) / smooth(known)


@pytest.mark.parametrize("size", [(1, 1, 3), (9, 14, 1), (20, 3, 5)], ids=str)
@pytest.mark.parametrize("sigma", [0.05, 0.7, 2.0, 6.5])
@pytest.mark.parametrize("holes", [False, True])
def test_equals_scipy_over_the_known_pixels(size, sigma, holes):
    generator = np.random.default_rng(len(size))
    image = generator.uniform(0, 1000, size).astype(np.float32)
    hidden = generator.random(size[:2]) < (0.4 if holes else 0)
    got = blur(image, tf.constant(hidden), tf.constant(sigma)).numpy()
    with np.errstate(invalid="ignore"):
        want = by_scipy(image.astype(np.float64), hidden, sigma)
    np.testing.assert_allclose(got[~hidden], want[~hidden], rtol=2e-4, atol=0.05)


def test_padding_does_not_bleed_into_the_image():
    image = np.full((8, 8, 3), 200, np.float32)
    hidden = np.zeros((8, 8), bool)
    hidden[5:] = True
    image[5:] = 0
    got = blur(image, tf.constant(hidden), 3.0).numpy()
    np.testing.assert_allclose(got[:5], 200, rtol=1e-6)


def test_half_of_the_examples_get_a_blur_of_the_strength_drawn():
    image = np.random.default_rng(2).uniform(0, 255, (9, 9, 3)).astype(np.float32)
    hidden = np.zeros((9, 9), bool)
    data, unknown = DataConfig(blur=2.0), tf.constant(hidden)
    blurred = 0
    for number in range(30):
        seed = tf.constant([1, number], tf.int64)
        happens, strength = (draw.numpy() for draw in uniform(Draw.BLUR, seed, 2))
        got = blur_at_random(tf.constant(image), unknown, seed, data).numpy()
        if happens < 0.5:
            blurred += 1
            want = by_scipy(image.astype(np.float64), hidden, 2.0 * (1 - strength))
            np.testing.assert_allclose(got, want, rtol=2e-4, atol=0.05)
        else:
            np.testing.assert_array_equal(got, image)
    assert 5 < blurred < 25
