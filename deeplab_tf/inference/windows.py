"""Images too large for memory, one overlapping window at a time."""

import itertools
from collections.abc import Callable

import numpy as np


def in_windows(
    predict: Callable[[np.ndarray], np.ndarray], window: int, output_stride: int
) -> Callable[[np.ndarray], np.ndarray]:
    """A function like `predict` that shows it at most `window` x `window` pixels at a time.

    Neighbouring windows overlap by about a third, and each pixel's label is of the window in which
    it lies farther from the border. Windows begin at multiples of `output_stride`, so that, at
    scale 1 and unmirrored, the network samples the grid of the whole image. What lies beyond a
    window it does not see: with image-level features, or a field of view wider than the overlap,
    the labels are not exactly those of the whole image. An image that fits into one window gives
    exactly those.

    Args:
        predict: [B, H, W, bands] -> uint8 [B, H, W].
        window: side in pixels, at least twice the output_stride.
        output_stride: of the network.
    """

    def predict_windows(images: np.ndarray) -> np.ndarray:
        labels = np.empty(images.shape[:3], np.uint8)
        rows = _spans(images.shape[1], window, output_stride)
        columns = _spans(images.shape[2], window, output_stride)
        for (top, bottom, first, last), (left, right, begin, end) in itertools.product(
            rows, columns
        ):
            seen = predict(images[:, top:bottom, left:right])
            labels[:, first:last, begin:end] = seen[
                :, first - top : last - top, begin - left : end - left
            ]
        return labels

    return predict_windows


def _spans(size: int, window: int, output_stride: int) -> list[tuple[int, int, int, int]]:
    """Along one axis: each window's start and end, and the start and end of what it decides."""
    if size <= window:
        return [(0, size, 0, size)]
    step = max(1, 2 * window // 3 // output_stride) * output_stride
    # The last window begins on the grid as well, so it can be a little narrower.
    last = -(-(size - window) // output_stride) * output_stride
    starts = [*range(0, last, step), last]
    ends = [min(start + window, size) for start in starts]
    middles = [(start + end) // 2 for start, end in zip(starts[1:], ends[:-1], strict=True)]
    return list(zip(starts, ends, [0, *middles], [*middles, size], strict=True))
