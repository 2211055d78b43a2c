"""Scores as 16-bit probabilities, against numpy in float64 and Pillow's enlargement of floats."""

import numpy as np
import pytest

from deeplab_tf.images import scored as module
from deeplab_tf.images.resampling import enlarge
from deeplab_tf.images.scored import ONE, ScoreMap, scored


def softmax(logits):
    e = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("size", [(13, 17), (40, 51)])
def test_logits_become_probabilities_at_the_images_size(size, monkeypatch):
    logits = np.random.default_rng(0).normal(0, 4, (1, 13, 17, 5)).astype(np.float32)
    monkeypatch.setattr(module, "STRIP_VALUES", 5 * size[1] * 3)  # three rows a strip
    found = scored(ScoreMap(logits, True), size, every_class=True)
    full = logits if size == (13, 17) else enlarge(logits, size).numpy()
    np.testing.assert_array_equal(found.labels, full[0].argmax(-1))
    expected = softmax(full[0])
    assert found.probabilities is not None
    assert np.abs(found.probabilities / ONE - expected).max() < 1e-5
    np.testing.assert_array_equal(found.confidence, found.probabilities.max(-1))
    of_label = np.take_along_axis(found.probabilities, found.labels[..., None].astype(int), -1)
    np.testing.assert_array_equal(of_label[..., 0], found.confidence)


def test_probabilities_stay_and_one_is_the_largest_number():
    shares = np.array([[[[0.0, 1.0], [0.25, 0.75], [0.5, 0.5]]]], np.float32)
    found = scored(ScoreMap(shares, False), (1, 3), every_class=False)
    assert found.probabilities is None and found.confidence.dtype == np.uint16
    assert found.confidence.tolist() == [[65535, 49151, 32768]]
    assert found.labels.tolist() == [[1, 1, 0]]
