"""What is cut out: a rectangle inside the crop, mean pixel and void, of any place and shape."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.config import DataConfig
from deeplab_tf.data.cut_out import cut_out_at_random
from deeplab_tf.images.classes import VOID

MEAN = (123.15, 115.90, 103.06)
in_a_graph = tf.function(
    lambda image, mask, seed, probability: cut_out_at_random(
        image, mask, seed, DataConfig(cut_out=probability), MEAN
    ),
    reduce_retracing=True,
)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (60, 40)], ids=str)
def test_a_rectangle_is_the_mean_pixel_and_void_and_the_rest_stays(size):
    generator = np.random.default_rng(0)
    image = generator.uniform(0, 255, (*size, 3)).astype(np.float32)
    mask = generator.integers(0, 21, size, np.uint8)
    for number in range(10):
        got, labels = (
            part.numpy()
            for part in in_a_graph(image, mask, tf.constant([1, number], tf.int64), 1.0)
        )
        hidden = labels == VOID
        rows, columns = np.flatnonzero(hidden.any(1)), np.flatnonzero(hidden.any(0))
        assert hidden.sum() == len(rows) * len(columns) > 0
        assert len(rows) == np.ptp(rows) + 1 and len(columns) == np.ptp(columns) + 1
        assert (got[hidden] == np.float32(MEAN)).all()
        np.testing.assert_array_equal(got[~hidden], image[~hidden])
        np.testing.assert_array_equal(labels[~hidden], mask[~hidden])


def test_probability_area_shape_and_place():
    side = 100
    image, mask = np.zeros((side, side, 3), np.float32), np.zeros((side, side), np.uint8)
    areas, ratios, covered = [], [], np.zeros((side, side))
    for number in range(400):
        labels = in_a_graph(image, mask, tf.constant([2, number], tf.int64), 0.5)[1].numpy()
        hidden = labels == VOID
        if hidden.any():
            areas.append(hidden.mean())
            ratios.append(hidden.any(1).sum() / hidden.any(0).sum())
            covered += hidden
    assert 160 < len(areas) < 240  # 200, standard error 10
    assert min(areas) > 0.017 and max(areas) < 0.34
    # Uniform in 0.02..0.33: mean 0.175, standard error 0.09 / sqrt(200) = 0.006.
    assert abs(np.mean(areas) - 0.175) < 0.025
    assert abs(np.mean(np.log(ratios))) < 0.2  # as often high as wide
    assert min(ratios) > 0.25 and max(ratios) < 4
    assert covered[15:-15, 15:-15].min() > 0
    assert all(edge.any() for edge in (covered[0], covered[-1], covered[:, 0], covered[:, -1]))
