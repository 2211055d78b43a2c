import numpy as np
import pytest

from deeplab_tf.evaluation.calibration import BINS, Calibration, calibration_counts
from deeplab_tf.images.classes import VOID
from deeplab_tf.images.scored import ONE


def slow_error(right, confidence, bins=15):
    """Guo et al., equations 2 and 3, pixel by pixel in float64."""
    error = 0.0
    for m in range(1, bins + 1):
        inside = (confidence > (m - 1) / bins) & (confidence <= m / bins)
        if inside.any():
            error += inside.sum() * abs(right[inside].mean() - confidence[inside].mean())
    return error / len(right)


def test_error_is_that_of_the_definition():
    rng = np.random.default_rng(0)
    mask = rng.choice([0, 1, 2, VOID], (50, 60)).astype(np.uint8)
    labels = np.where(rng.random(mask.shape) < 0.6, mask, rng.integers(0, 3, mask.shape))
    units = rng.integers(20_000, ONE + 1, mask.shape).astype(np.uint16)
    parts = [
        calibration_counts(mask[i : i + 10], labels[i : i + 10], units[i : i + 10])
        for i in range(0, 50, 10)
    ]
    calibration = Calibration.of(sum(parts))
    known = mask != VOID
    expected = slow_error((mask == labels)[known], units[known] / ONE)
    assert calibration.error == pytest.approx(expected, abs=1e-12)
    assert calibration.mean_confidence == pytest.approx((units[known] / ONE).mean(), abs=1e-12)
    assert calibration.pixels.sum() == known.sum()
    np.testing.assert_array_equal(sum(parts), calibration_counts(mask, labels, units))


def test_by_hand():
    # Two pixels of confidence 0.8, one right; two of 1, both right; one void.
    mask = np.array([[0, 1, 0, 1, VOID]], np.uint8)
    labels = np.array([[0, 0, 0, 1, 0]], np.uint8)
    units = np.round(np.array([[0.8, 0.8, 1, 1, 0.1]]) * ONE).astype(np.uint16)
    calibration = Calibration.of(calibration_counts(mask, labels, units))
    assert calibration.error == pytest.approx((2 * 0.3 + 2 * 0) / 4, abs=1e-5)
    content = calibration.to_json()
    assert [b["pixels"] for b in content["bins"]] == [0] * 11 + [2, 0, 0, 2]
    assert content["bins"][11] == {
        "pixels": 2,
        "accuracy": 0.5,
        "confidence": pytest.approx(0.8, abs=1e-5),
    }
    assert content["bins"][0] == {"pixels": 0, "accuracy": None, "confidence": None}


def test_bins_end_where_the_definition_says():
    units = np.array([[0, 1, ONE // BINS, ONE // BINS + 1, ONE]], np.uint16)
    counts = calibration_counts(np.zeros_like(units), np.zeros_like(units), units)
    assert np.repeat(np.arange(BINS), counts[:, 0]).tolist() == [0, 0, 0, 1, BINS - 1]


def test_without_a_pixel_there_is_no_error():
    assert Calibration.of(np.zeros((BINS, 3), np.int64)).error is None
