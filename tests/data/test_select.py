"""The selection against numpy's."""

import numpy as np
import pytest

from deeplab_tf.data.select import select


@pytest.mark.parametrize("size", [(1, 1, 1), (5, 7, 3), (4, 3, 6)], ids=str)
def test_equals_numpy_for_an_image_and_for_one_pixel(size):
    generator = np.random.default_rng(0)
    image, other = generator.normal(size=(2, *size)).astype(np.float32)
    condition = generator.random(size[:2]) < 0.5
    for another in (other, other[0, 0]):
        want = np.where(condition[..., None], image, another)
        np.testing.assert_array_equal(select(condition, image, another), want)
