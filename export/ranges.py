"""The range of numbers that each tensor of a full int8 file can hold.

Tested in tests/export/test_full_int8.py and tests/export/test_ranges.py.
"""

import dataclasses
import math
from collections.abc import Callable, Container, Sequence

import numpy as np

from deeplab_tf.artefacts.litert import CONVOLUTIONS
from deeplab_tf.errors import DeeplabError

from .images import ComparedImage, Share
from .tensors import TensorReader

Ranges = dict[str, tuple[float, float]]
"""The least and the largest number of each tensor, by its name."""

Read = Callable[[str], np.ndarray]
"""Gives the numbers of a tensor by its name, float32."""

PIXELS = (0.0, 255.0)
PRODUCTS = (*CONVOLUTIONS, "FULLY_CONNECTED", "MUL")
"""Operations whose sums are whole multiples of the product of the scales of both inputs."""
FINER = ("ADD", "MEAN", "HARD_SWISH")
MOST_FINER = 100
"""How many times finer than its input the output of `FINER` can be; LiteRT allows 128 and more."""
DRAWN = 2000
"""How many numbers of each tensor of each image the narrower ranges are chosen by."""
MOST_DRAWN = 200_000
"""How many numbers of each tensor over all images, so that memory holds many images' numbers."""
SHARES = np.linspace(0.3, 1.0, 36)
"""The parts of the full range that are tried for each of its two ends."""
STEPS = 255
"""The steps between the ends of a range in int8."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """The numbers of a float file's tensors over some images.

    Attributes:
        reader: the float file.
        extremes: the least and the largest number of every float tensor that an operation writes,
            and of the input where that is float.
        drawn: some numbers of each of these tensors.
        read: gives the numbers of a constant by its name.
    """

    reader: TensorReader
    extremes: Ranges
    drawn: dict[str, np.ndarray]
    read: Read

    def ranges(
        self, narrow: bool = True, kept: Container[str] = (), bytes_in: bool = True
    ) -> Ranges:
        """Returns the ranges to quantise by.

        Args:
            narrow: whether a range is that of `least_error`; it otherwise holds every number.
            kept: the names of tensors whose operations stay float.
            bytes_in: whether the input's range is `PIXELS`, so that a byte is the pixel itself;
                it is otherwise measured like all others.
        """
        ranges = self.extremes
        if narrow:
            ranges = {n: least_error(self.drawn[n], *ends) for n, ends in ranges.items()}
        if bytes_in:
            ranges = ranges | {self.reader.input: PIXELS}
        return wide_enough(self.reader, ranges, self.read, kept)


def measure(
    reader: TensorReader,
    images: Sequence[ComparedImage],
    look: Callable[[Read, Share], None] = lambda read, share: None,
) -> Measured:
    """Runs the file on all images and measures the float tensors that it reads or writes.

    What a tensor has of an image's padding is left out.

    Args:
        reader: the float file.
        images: of the file's size, where that is fixed, and its bands.
        look: is called for each image with the function that reads the tensors of its run, and the
            share of rows and columns that are not padding.

    Raises:
        DeeplabError: there is no image, or a tensor is not finite.
    """
    written = [o.output for o in reader.operations if reader.dtypes[o.output] == np.float32]
    if reader.dtypes[reader.input] == np.float32:
        written.append(reader.input)
    low, high = dict.fromkeys(written, np.inf), dict.fromkeys(written, -np.inf)
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in written}
    read = None
    rng = np.random.default_rng(0)
    draw = max(1, min(DRAWN, MOST_DRAWN // max(1, len(images))))
    for image in images:
        read = reader.run(image.to_calibrate)
        for name in written:
            values = without_padding(read(name), image.share)
            low[name] = min(low[name], float(values.min()))
            high[name] = max(high[name], float(values.max()))
            drawn[name].append(values.ravel()[rng.integers(values.size, size=draw)])
        look(read, image.share)
    if read is None:
        raise DeeplabError(
            "there is no image to calibrate int8 on; the split to train on must have some"
        )
    broken = [name for name in written if not np.isfinite([low[name], high[name]]).all()]
    if broken:
        raise DeeplabError(f"{broken[0]} of the model is not finite; train the model anew")
    extremes = {name: (low[name], high[name]) for name in written}
    numbers = {name: np.concatenate(parts) for name, parts in drawn.items()}
    return Measured(reader, extremes, numbers, read)


def without_padding(values: np.ndarray, share: Share) -> np.ndarray:
    """Returns the part of a tensor that stands for the image, from the upper left.

    Args:
        values: [1, H, W, C]; a tensor of another rank is given whole.
        share: the share of rows and columns.
    """
    if values.ndim != 4:
        return values
    rows, columns = (math.ceil(s * n) for s, n in zip(share, values.shape[1:3], strict=True))
    return values[:, :rows, :columns]


def least_error(numbers: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """Returns the range, inside of `low`..`high`, that changes the numbers least.

    A narrower range has finer steps and clips more. The mean square of both errors decides: of a
    number outside, its distance to the range, and of rounding, a twelfth of the step's square.

    Args:
        numbers: numbers of the tensor, of any shape.
        low, high: the least and the largest number.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    numbers = np.sort(np.asarray(numbers, np.float64), axis=None)
    lows, highs = np.unique(low * SHARES), np.unique(high * SHARES)
    clipped_below = _squares_below(-numbers[::-1], -highs), _squares_below(numbers, lows)
    rounding = ((highs[:, None] - lows) / STEPS) ** 2 / 12
    error = (clipped_below[0][:, None] + clipped_below[1]) / len(numbers) + rounding
    best = np.unravel_index(np.argmin(error), error.shape)
    return float(lows[best[1]]), float(highs[best[0]])


def _squares_below(numbers: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Returns the sum of the squared distances to each end of the ascending numbers below it."""
    count = np.searchsorted(numbers, ends)
    first, second = (np.concatenate([[0.0], np.cumsum(numbers**n)])[count] for n in (1, 2))
    return np.maximum(second - 2 * ends * first + ends**2 * count, 0.0)


def wide_enough(
    reader: TensorReader, ranges: Ranges, read: Read, kept: Container[str] = ()
) -> Ranges:
    """Returns the ranges, those of operations on integers as wide as the kernels can compute.

    A tensor that is 0 on all images, as a squeeze whose ReLU lets nothing through, has no width.
    Its scale would be so small that LiteRT's kernels refuse the file, and that the bias of the next
    convolution overflows.

    Args:
        reader: the float file.
        ranges: the ranges as measured.
        read: gives the numbers of a constant by its name.
        kept: the names of tensors whose operations stay float.
    """
    ranges = dict(ranges)

    def scale(name: str) -> float:
        if name not in ranges:
            return float(np.abs(read(name)).max()) / 127
        low, high = ranges[name]
        return (max(high, 0.0) - min(low, 0.0)) / STEPS

    for operation in reader.operations:
        if operation.output not in ranges or operation.output in kept:
            continue
        if operation.kind in PRODUCTS:
            finest = scale(operation.inputs[0]) * scale(operation.inputs[1])
        elif operation.kind in FINER:
            floats = (n for n in operation.inputs if reader.dtypes[n] == np.float32)
            finest = max(map(scale, floats)) / MOST_FINER
        else:
            continue
        if scale(operation.output) < finest:
            low, _ = ranges[operation.output]
            ranges[operation.output] = (low, min(low, 0.0) + STEPS * finest)
    return ranges
