"""The second moments of what the weights of convolutions are multiplied with."""

import math
import zlib
from collections.abc import Callable, Iterable

import numpy as np

from .convolutions import Convolution
from .images import Share

POSITIONS = 256
"""How many places of an image are looked at."""
MOST_WEIGHTS = 1200
"""The most weights of an output channel whose moments are kept; the square of it is a matrix."""


class InputMoments:
    """The mean of `x x^T` of each convolution, over some places of some images.

    `x` has the inputs of one output number in the order of `ConvolutionFile.weights`.
    """

    def __init__(self, convolutions: Iterable[Convolution]):
        self._convolutions = list(convolutions)
        self._sums: dict[str, np.ndarray] = {}
        self._counts: dict[str, int] = {}
        self._images = 0

    def add(self, read: Callable[[str], np.ndarray], share: Share = (1.0, 1.0)) -> None:
        """Takes in an image.

        Args:
            read: gives a tensor [1, H, W, C] of the image's run by its name.
            share: the share of rows and columns, from the upper left, that is looked at.
        """
        for convolution in self._convolutions:
            values = read(convolution.input)
            taps = convolution.kernel[0] * convolution.kernel[1]
            if not convolution.depthwise and taps * values.shape[-1] > MOST_WEIGHTS:
                continue
            # Other places in each image and layer, and the same ones in each export.
            name = convolution.output
            rng = np.random.default_rng([self._images, zlib.crc32(name.encode())])
            patches = patches_of(values[0], convolution, rng, share)
            if convolution.depthwise:
                by_channel = patches.transpose(2, 1, 0)
                sums = by_channel @ by_channel.transpose(0, 2, 1)
            else:
                rows = patches.reshape(len(patches), -1)
                sums = rows.T @ rows
            self._sums[name] = self._sums.get(name, 0) + sums
            self._counts[name] = self._counts.get(name, 0) + len(patches)
        self._images += 1

    def of(self, convolution: Convolution) -> np.ndarray | None:
        """Returns the moments, float64 [K, K], of a depthwise convolution [C, T, T].

        None stands for a convolution of more than `MOST_WEIGHTS`.
        """
        sums = self._sums.get(convolution.output)
        if sums is None:
            return None
        return np.asarray(sums, np.float64) / self._counts[convolution.output]


def patches_of(
    values: np.ndarray,
    convolution: Convolution,
    rng: np.random.Generator,
    share: Share = (1.0, 1.0),
) -> np.ndarray:
    """Returns the inputs of up to `POSITIONS` output numbers, float32 [N, taps, C].

    Args:
        values: float32 [H, W, C].
        convolution: the convolution that reads `values`.
        rng: chooses the output numbers.
        share: the share of the output's rows and columns, from the upper left, to choose from.
    """
    outputs, padded = [], [(0, 0)]
    for side in (1, 0):
        stride, extent = convolution.strides[side], values.shape[side]
        spread = (convolution.kernel[side] - 1) * convolution.rates[side] + 1
        if convolution.same:
            count = -(-extent // stride)
            padding = max((count - 1) * stride + spread - extent, 0)
        else:
            count, padding = (extent - spread) // stride + 1, 0
        outputs.insert(0, math.ceil(share[side] * count))
        padded.insert(0, (padding // 2, padding - padding // 2))
    values = np.pad(values, padded)
    places = outputs[0] * outputs[1]
    chosen = rng.choice(places, min(POSITIONS, places), replace=False)
    rows = chosen // outputs[1] * convolution.strides[0]
    columns = chosen % outputs[1] * convolution.strides[1]
    return np.stack(
        [
            values[rows + i * convolution.rates[0], columns + j * convolution.rates[1]]
            for i in range(convolution.kernel[0])
            for j in range(convolution.kernel[1])
        ],
        axis=1,
    )
