"""Sliding windows: every pixel once, and the labels of the whole image where they can be."""

import numpy as np
import pytest
from support.random_model import random_picture, random_trained_model, shared_model

from deeplab_tf.config import EvaluateConfig
from deeplab_tf.inference.strategies import images_to_labels, label_function
from deeplab_tf.inference.windows import in_windows

# (size, window, output_stride) -> by hand: (start, end, first decided, last decided + 1).
SPANS = [
    ((65, 65, 16), [(0, 65, 0, 65)]),
    ((66, 65, 16), [(0, 65, 0, 40), (16, 66, 40, 66)]),
    # Steps of 2/3 of 96 = 64; the last begins at 112, the first multiple of 16 from 200 - 96 on.
    ((200, 96, 16), [(0, 96, 0, 80), (64, 160, 80, 136), (112, 200, 136, 200)]),
]


@pytest.mark.parametrize(("arguments", "spans"), SPANS)
def test_windows_lie_on_the_grid_and_share_the_image(arguments, spans):
    size, window, output_stride = arguments
    seen = []

    def columns_of_window(images):
        seen.append(images.shape)
        return images[..., 0]

    row = np.arange(size, dtype=np.uint8)[None, None, :, None].repeat(3, -1).repeat(2, 0)
    labels = in_windows(columns_of_window, window, output_stride)(row)
    np.testing.assert_array_equal(labels, row[..., 0])
    assert seen == [(2, 1, end - start, 3) for start, end, _, _ in spans]

    number = iter(range(len(spans)))

    def number_of_window(images):
        return np.full(images.shape[:3], next(number), np.uint8)

    owners = in_windows(number_of_window, window, output_stride)(row)[0, 0]
    for index, (_, _, first, last) in enumerate(spans):
        assert np.flatnonzero(owners == index).tolist() == list(range(first, last))


def test_a_window_is_never_larger_than_asked():
    largest = [0, 0]

    def predict(images):
        largest[0] = max(largest[0], images.shape[1])
        largest[1] = max(largest[1], images.shape[2])
        return np.zeros(images.shape[:3], np.uint8)

    for height, width in ((500, 333), (97, 1000), (129, 130)):
        labels = in_windows(predict, 129, 8)(np.zeros((1, height, width, 3), np.uint8))
        assert labels.shape == (1, height, width)
    assert largest == [129, 129]


def test_an_image_that_fits_is_predicted_as_a_whole():
    trained = shared_model()
    picture = random_picture(97, 129)
    whole = images_to_labels(trained, EvaluateConfig())(picture[None])
    windowed = images_to_labels(trained, EvaluateConfig(window=129))(picture[None])
    np.testing.assert_array_equal(windowed, whole)
    assert len(np.unique(whole)) > 1


def test_windows_that_see_far_enough_give_the_whole_images_labels():
    """Without image pooling, the slim network's field of view at output_stride 16 reaches 273
    pixels to each side, its 1x1 ASPP no farther, and the upsampling 16 more. With windows of 1744
    each label lies 290 or more pixels, a sixth of that, inside its window."""
    trained = random_trained_model(image_pooling=False, aspp_rates=())
    picture = random_picture(65, 2400)
    whole = label_function(trained.model, EvaluateConfig())(picture[None])
    windowed = images_to_labels(trained, EvaluateConfig(window=1744))(picture[None])
    assert (windowed == whole).mean() > 0.9999  # a tie may fall either way
    near = images_to_labels(trained, EvaluateConfig(window=129))(picture[None])
    assert (near == whole).mean() < 0.9999
