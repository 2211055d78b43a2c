"""The rounding of a convolution's weights to int8, so that its sums change least.

A weight rounded to the nearest step changes the sum of a channel by the rounding error times the
input. Inputs behind a ReLU are not centred and neighbours are alike, so that these changes add up,
and a depthwise kernel has only nine of them to average. The errors are therefore chosen together:
each channel's rounded weights `q * scale` keep the mean square of `(w - q * scale) . x` small over
the inputs `x` of the calibration, which is a quadratic form of their second moments. Convolutions
take the weights in turn, and each makes up for the errors of those before it (Frantar et al.,
https://arxiv.org/abs/2210.17323); depthwise ones change a weight by one step as long as that helps.
"""

import numpy as np

LARGEST = 127
"""int8 weights are symmetric in LiteRT: -127..127."""
FEWEST_LEVELS = 8
"""The fewest steps to a side that a grid is looked for with."""
ON_GRID = 0.01
"""How far from a grid's steps, in steps and as root of the mean square, weights may lie on it."""
PROBED = 32
"""How many weights of a row are looked at first, for speed alone."""
DAMPING = 0.01
"""The share of the mean moment added to each weight's own, for inputs that were hardly seen."""

TOGETHER = 64
"""How many weights are rounded before those further on are looked at, for speed alone."""


def round_weights(
    weights: np.ndarray, moments: np.ndarray | None, finest: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the weights in steps, float64 [O, K], -127..127, and the step of each channel [O].

    Args:
        weights: float64 [O, K], a row an output channel.
        moments: the second moments of the inputs, float64 [K, K], or [O, K, K] of a depthwise
            convolution; with None each weight goes to its nearest step.
        finest: the least step of each channel, [O].
    """
    scales = np.maximum(scales_of(weights), finest)
    if moments is None:
        return round_nearest(weights, scales), scales
    together = round_together if moments.ndim == 2 else round_taps
    return together(weights, scales, moments), scales


def scales_of(weights: np.ndarray) -> np.ndarray:
    """Returns the scale of each output channel, float64 [O].

    The scale puts the largest weight on 127. Weights that lie on a coarser grid already, as those
    of a network that was trained or published in integers, keep that grid and lose nothing.

    Args:
        weights: float64 [O, K], a row an output channel.
    """
    largest = np.abs(weights).max(axis=1)
    largest[largest == 0] = 1.0
    levels = np.full(len(weights), LARGEST)
    open_rows = np.arange(len(weights))
    for level in range(LARGEST, FEWEST_LEVELS - 1, -1):
        fits = np.ones(len(open_rows), bool)
        for part in (weights[:, :PROBED], weights):
            rows = open_rows[fits]
            fits[fits] = _lie_on(part[rows], largest[rows] / level)
        levels[open_rows[fits]] = level
        open_rows = open_rows[~fits]
    return largest / levels


def _lie_on(weights: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Returns for each row whether its weights are multiples of its scale, bool [O]."""
    steps = weights / scales[:, None]
    return np.sqrt(np.mean((steps - np.round(steps)) ** 2, axis=1)) < ON_GRID


def round_nearest(weights: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Returns the nearest steps, float64 [O, K], -127..127."""
    return np.clip(np.round(weights / scales[:, None]), -LARGEST, LARGEST)


def round_together(weights: np.ndarray, scales: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Returns steps, float64 [O, K], that change the sums of a convolution little.

    Args:
        weights: float64 [O, K].
        scales: float64 [O].
        moments: the mean of `x x^T` over the inputs, float64 [K, K].
    """
    count = len(moments)
    order = np.argsort(-np.diag(moments), kind="stable")
    damped = moments[np.ix_(order, order)]
    damped += np.eye(count) * max(DAMPING * np.trace(moments) / count, 1e-12)
    # With damped = factor @ factor.T and an upper factor, the error is the sum of the squares of
    # error @ factor, whose entry j knows the errors up to j alone.
    factor = np.linalg.cholesky(damped[::-1, ::-1])[::-1, ::-1]
    factor = factor / np.diag(factor)
    target = weights[:, order]
    steps, errors = np.empty_like(target), np.zeros_like(target)
    for start in range(0, count, TOGETHER):
        end = min(start + TOGETHER, count)
        owed = errors[:, :start] @ factor[:start, start:end]
        for j in range(start, end):
            wanted = target[:, j] + owed[:, j - start]
            steps[:, j] = np.clip(np.round(wanted / scales), -LARGEST, LARGEST)
            errors[:, j] = target[:, j] - steps[:, j] * scales
            owed[:, j - start + 1 :] += errors[:, j, None] * factor[j, j + 1 : end]
    return steps[:, np.argsort(order)]


def round_taps(weights: np.ndarray, scales: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Returns steps, float64 [C, T], that change the sums of a depthwise convolution little.

    Args:
        weights: float64 [C, T], the taps of each channel.
        scales: float64 [C].
        moments: the mean of `x x^T` over the inputs of each channel, float64 [C, T, T].
    """
    steps = round_nearest(weights, scales)
    own = np.diagonal(moments, axis1=1, axis2=2) * scales[:, None] ** 2
    rows = np.arange(len(steps))
    for _ in range(8 * steps.shape[1]):
        error = weights - steps * scales[:, None]
        pull = 2 * np.einsum("ctu,cu->ct", moments, error) * scales[:, None]
        move = np.sign(pull)
        move[np.abs(steps + move) > LARGEST] = 0
        gain = move * pull - own * move**2
        best = gain.argmax(axis=1)
        better = gain[rows, best] > 1e-9 * own[rows, best]
        if not better.any():
            break
        steps[rows[better], best[better]] += move[rows, best][better]
    return steps
