"""Weights rounded together, against the error of their sums computed from the inputs themselves."""

import itertools

import numpy as np
import pytest

from deeplab_tf.export import rounding
from deeplab_tf.export.rounding import round_nearest, round_taps, round_together, scales_of


def alike(rng, count, inputs):
    """Inputs as behind a ReLU: not centred, and alike."""
    return np.maximum(rng.normal(1, 1, (count, 1)) + rng.normal(0, 0.5, (count, inputs)), 0)


def lost(weights, steps, scales, inputs):
    """The mean square of what the sums of each channel lose."""
    return np.mean((inputs @ (weights - steps * scales[:, None]).T) ** 2, axis=0)


def test_the_largest_weight_is_127_and_a_grid_is_kept():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(3, 50))
    weights[1] = 0.37 * rng.integers(-99, 99, 50)
    weights[1, 7] = 0.37 * 99
    weights[2] = 0
    scales = scales_of(weights)
    assert scales == pytest.approx([np.abs(weights[0]).max() / 127, 0.37, 1 / 127])
    steps = round_nearest(weights, scales)
    assert np.abs(steps).max(axis=1).tolist() == [127, 99, 0]
    np.testing.assert_allclose(steps[1] * scales[1], weights[1], rtol=1e-6)


def test_sums_lose_less_than_by_nearest_steps(monkeypatch):
    rng = np.random.default_rng(1)
    inputs, weights = alike(rng, 4000, 150), rng.normal(size=(6, 150))
    scales = scales_of(weights)
    moments = inputs.T @ inputs / len(inputs)
    steps = round_together(weights, scales, moments)
    np.testing.assert_array_equal(steps, np.round(steps))
    assert np.abs(steps).max() == 127
    assert np.abs(steps - weights / scales[:, None]).max() < 3  # nowhere far from the weight
    unseen = alike(rng, 4000, 150)
    nearest = lost(weights, round_nearest(weights, scales), scales, unseen)
    assert np.mean(lost(weights, steps, scales, unseen)) < 0.5 * np.mean(nearest)
    # How many are rounded at a time is for speed alone.
    monkeypatch.setattr(rounding, "TOGETHER", 7)
    np.testing.assert_array_equal(round_together(weights, scales, moments), steps)


def test_taps_are_within_reach_of_the_best_of_all():
    rng = np.random.default_rng(2)
    weights = rng.normal(size=(20, 4))
    scales = scales_of(weights)
    inputs = [alike(rng, 500, 4) for _ in weights]
    moments = np.stack([x.T @ x / len(x) for x in inputs])
    steps = round_taps(weights, scales, moments)
    floors = np.floor(weights / scales[:, None])
    for i, x in enumerate(inputs):
        row, scale = weights[i : i + 1], scales[i : i + 1]
        tried = [floors[i] + np.array(up) for up in itertools.product((0, 1), repeat=4)]
        best = min(lost(row, np.clip(t, -127, 127)[None], scale, x)[0] for t in tried)
        found = lost(row, steps[i : i + 1], scale, x)[0]
        nearest = lost(row, round_nearest(row, scale), scale, x)[0]
        assert found <= nearest + 1e-15 and found < best + 0.3 * (nearest - best) + 1e-5
