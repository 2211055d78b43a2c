"""Prediction of images too large for memory, one overlapping window at a time."""

import itertools
from collections.abc import Callable

import numpy as np


def in_windows(
    predict: Callable[[np.ndarray], np.ndarray], window: int, output_stride: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function like `predict` that shows it at most `window` x `window` pixels at a time.

    Neighbouring windows overlap by about a third, and each pixel takes the prediction of the window
    in which the pixel lies farther from the border. Windows begin at multiples of `output_stride`,
    so that, at scale 1 and unmirrored, the network samples the grid of the whole image. The network
    does not see beyond a window: with image-level features, or a field of view wider than the
    overlap, the labels are not exactly those of the whole image. An image that fits into one window
    gives exactly those labels.

    Args:
        predict: a function of images [B, H, W, bands] that gives labels [B, H, W] or probabilities
            [B, H, W, classes].
        window: the side of a window in pixels, at least twice the output_stride.
        output_stride: the output_stride of the network.
    """

    def predict_windows(images: np.ndarray) -> np.ndarray:
        whole: np.ndarray | None = None
        rows = spans(images.shape[1], window, output_stride)
        columns = spans(images.shape[2], window, output_stride)
        for (top, bottom, first, last), (left, right, begin, end) in itertools.product(
            rows, columns
        ):
            seen = predict(images[:, top:bottom, left:right])
            if whole is None:
                whole = np.empty((*images.shape[:3], *seen.shape[3:]), seen.dtype)
            whole[:, first:last, begin:end] = seen[
                :, first - top : last - top, begin - left : end - left
            ]
        assert whole is not None  # an image has one window at least
        return whole

    return predict_windows


def spans(size: int, window: int, output_stride: int) -> list[tuple[int, int, int, int]]:
    """Returns (start, end, first, last) of each window along one axis.

    A window sees the pixels from start to end and decides those from first to last.
    """
    if size <= window:
        return [(0, size, 0, size)]
    step = max(1, 2 * window // 3 // output_stride) * output_stride
    # The last window begins on the grid too, so it can be a little narrower than the others.
    last = -(-(size - window) // output_stride) * output_stride
    starts = [*range(0, last, step), last]
    ends = [min(start + window, size) for start in starts]
    middles = [(start + end) // 2 for start, end in zip(starts[1:], ends[:-1], strict=True)]
    return list(zip(starts, ends, [0, *middles], [*middles, size], strict=True))
