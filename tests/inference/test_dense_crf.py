"""The fully connected CRF against mean-field inference by its definition, in float64."""

import sys

import numpy as np
import pytest
from support.random_model import random_picture, shared_model

from deeplab_tf.config import EvaluateConfig
from deeplab_tf.errors import DeeplabError
from deeplab_tf.inference.strategies import class_probabilities, images_to_labels


@pytest.fixture
def crf():
    pytest.importorskip("pydensecrf", reason="pydensecrf2 is not installed (the extra `crf`)")
    from deeplab_tf.inference import dense_crf

    return dense_crf


def mean_field(image, probabilities, parameters):
    """Every pair of pixels, kernels normalised symmetrically, Potts compatibility."""
    height, width, classes = probabilities.shape
    rows, columns = np.mgrid[:height, :width]
    place = np.stack([rows, columns], -1).reshape(-1, 2).astype(np.float64)
    color = image.reshape(-1, 3).astype(np.float64)
    distance = ((place[:, None] - place[None]) ** 2).sum(-1)
    contrast = ((color[:, None] - color[None]) ** 2).sum(-1)
    kernels = [
        (parameters.gaussian_weight, np.exp(-distance / (2 * parameters.gaussian_xy**2))),
        (
            parameters.bilateral_weight,
            np.exp(
                -distance / (2 * parameters.bilateral_xy**2)
                - contrast / (2 * parameters.bilateral_rgb**2)
            ),
        ),
    ]
    log = np.log(probabilities.reshape(-1, classes).astype(np.float64))
    marginals = np.exp(log)
    for _ in range(parameters.iterations):
        score = log.copy()
        for weight, kernel in kernels:
            norm = 1 / np.sqrt(kernel.sum(axis=1))
            score += weight * norm[:, None] * (kernel @ (norm[:, None] * marginals))
        marginals = np.exp(score - score.max(axis=1, keepdims=True))
        marginals /= marginals.sum(axis=1, keepdims=True)
    return marginals.reshape(height, width, classes)


def two_halves():
    """A picture of two colours, and noisy probabilities of three classes."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 16, (10, 12, 3)).astype(np.uint8) + 60
    image[:, 6:] += 90
    return image, rng.dirichlet(np.ones(3), (10, 12))


def test_marginals_are_those_of_mean_field_inference(crf):
    image, probabilities = two_halves()
    parameters = crf.CrfParameters(
        bilateral_weight=1.0,
        bilateral_xy=20.0,
        bilateral_rgb=40.0,
        gaussian_weight=3.0,
        gaussian_xy=3.0,
        iterations=5,
    )
    expected = mean_field(image, probabilities, parameters)
    refined = crf.refine(image, probabilities, parameters)
    assert refined.dtype == np.float32
    # The lattice is an approximation.
    np.testing.assert_allclose(refined, expected, atol=0.05)
    assert (refined.argmax(-1) == expected.argmax(-1)).mean() > 0.97
    assert (expected.argmax(-1) != probabilities.argmax(-1)).mean() > 0.1  # it did something


def test_a_noisy_pixel_takes_the_class_of_its_colour(crf):
    image = np.full((20, 24, 3), 60, np.uint8)
    image[:, 12:] = 180
    probabilities = np.full((20, 24, 2), 0.2)
    probabilities[:, :12, 0] = probabilities[:, 12:, 1] = 0.8
    probabilities[8, 4] = probabilities[9, 20] = 0.5
    probabilities[10, 5] = (0.3, 0.7)
    image.setflags(write=False)  # as images come from the records
    labels = crf.refine(image, probabilities).argmax(-1)
    assert (labels[:, :12] == 0).all() and (labels[:, 12:] == 1).all()


def test_it_comes_after_the_averaged_probabilities(crf):
    trained, picture = shared_model(), random_picture(33, 40)
    evaluate_config = EvaluateConfig(scales=(0.75, 1.0), flip=True, crf=True)
    labels = images_to_labels(trained, evaluate_config)(picture[None])[0]
    probabilities = class_probabilities(trained.model, picture[None], (0.75, 1.0), True)[0]
    expected = crf.refine(picture, probabilities.numpy()).argmax(-1)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, expected)


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    with pytest.raises(DeeplabError, match="pip install pydensecrf2"):
        images_to_labels(shared_model(), EvaluateConfig(crf=True))
