"""Convolutions of stride 1 in forms that run natively on every device, forward and backward.

TensorFlow's own gradient of a dilated convolution has no CPU kernel but oneDNN's, and TensorFlow
leaves oneDNN off on most CPUs. TensorFlow's own convolution also multiplies the padding: at rate 18
on a map of 33x33 six of ten multiplications are by zero (the paper's figure 4). The forms here that
leave padding out go by *taps*, the k * k positions of the kernel: they read for each tap only the
pixels that lie on the map.

Everywhere in this file `rates` are (rows, columns), and `pads` are the zeros around the map,
((above, below), (left, right)).
"""

import dataclasses
import enum
import functools
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import tensorflow as tf

from deeplab_tf.models import kernels
from deeplab_tf.models.kernels import OneDNN

WORTH_LEAVING = 0.8
"""The share of valid multiplications above which leaving out the rest costs more than it saves."""

Rates = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]


class Form(enum.Enum):
    """The ways to compute a convolution, with the same result to the rounding of the dtype."""

    NATIVE = "one operation of TensorFlow's, which multiplies the padding too"
    TAPS = "a matrix product for each tap, added up: the least work on the input"
    REGIONS = "a matrix product for each region with the same taps: the least work on the output"


def convolve(x: tf.Tensor, kernel: tf.Tensor, rates: Rates, padding: str) -> tf.Tensor:
    """Convolves with stride 1 and the atrous `rates`; every device can differentiate the result.

    Args:
        x: [B, H, W, C] of any float type.
        kernel: [k, k', C, F], or [k, k', C / groups, F] of a grouped convolution.
        rates: the atrous rates of rows and columns, each at least 1.
        padding: `SAME` or `VALID`, as in TensorFlow.

    Returns:
        [B, H', W', F] in the dtype of `x`.
    """
    pads = zeros_around(kernel.shape, rates, padding)
    if not kernels.on_cpu():
        return native(x, kernel, rates, pads)  # accelerators have gradients and groups for this
    return _by_group(_differentiable, x, kernel, rates, pads)


def convolve_anywhere(x: tf.Tensor, kernel: tf.Tensor, rates: Rates, padding: str) -> tf.Tensor:
    """Convolves as `convolve` does, in one operation a group, for a graph that runs anywhere.

    Every device and other runtimes have the operation, but only accelerators differentiate it.
    """
    return _by_group(native, x, kernel, rates, zeros_around(kernel.shape, rates, padding))


def convolve_in_litert(x: tf.Tensor, kernel: tf.Tensor, rates: Rates, padding: str) -> tf.Tensor:
    """Convolves as `convolve_anywhere` does, and without the padding where the size is fixed.

    LiteRT's float kernels multiply the padding of a dilated convolution; a matrix product for each
    tap takes half the time at rate 18 on a map of 33x33.
    """

    def convolution(x, kernel, rates: Rates, pads: Pads) -> tf.Tensor:
        return in_form(litert_form(x.shape, kernel.shape, rates, pads), x, kernel, rates, pads)

    return _by_group(convolution, x, kernel, rates, zeros_around(kernel.shape, rates, padding))


def _by_group(convolution, x, kernel, rates: Rates, pads: Pads) -> tf.Tensor:
    """Convolves each group of channels by itself, since CPUs without oneDNN have no groups."""
    groups = x.shape[-1] // kernel.shape[2]
    if groups == 1:
        return convolution(x, kernel, rates, pads)
    parts = zip(tf.split(x, groups, -1), tf.split(kernel, groups, -1), strict=True)
    return tf.concat([convolution(*part, rates, pads) for part in parts], axis=-1)


def zeros_around(kernel_shape, rates: Rates, padding: str) -> Pads:
    """Returns the zeros around the map that `padding` means at stride 1."""
    if padding == "VALID":
        return (0, 0), (0, 0)
    rows, columns = ((side - 1) * rate for side, rate in zip(kernel_shape[:2], rates, strict=True))
    return (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)


def _differentiable(x, kernel, rates: Rates, pads: Pads) -> Any:
    """Convolves with a gradient that is made of this module's own convolutions."""
    form = best_form(x.shape, kernel.shape, rates, pads, x.dtype.name)
    if form is Form.NATIVE and max(rates) == 1:
        return native(x, kernel, rates, pads)

    @tf.custom_gradient
    def convolution(x, kernel):
        names = gradient_names()

        def gradient(dy):
            with names:
                return (
                    _input_gradient(x, kernel, dy, rates, pads),
                    _kernel_gradient(x, kernel, dy, rates, pads),
                )

        return in_form(form, x, kernel, rates, pads), gradient

    return convolution(x, kernel)


def gradient_names() -> tf.name_scope:
    """Makes a scope that names a gradient's operations as TensorFlow names those of its gradients.

    A graph adds up gradients in the order of their names. With names outside the replica's scope
    each replica would add up in an order of its own, and the weights from two devices would differ
    in their last bits from those of two processes.
    """
    scope = tf.get_current_name_scope()
    return tf.name_scope(f"gradient_tape/{scope}/" if scope else "gradient_tape/")


def _input_gradient(x, kernel, dy, rates: Rates, pads: Pads):
    """Returns the gradient of the input, [B, H, W, C].

    The gradient is `dy` convolved with the kernel, which is mirrored and whose channels and filters
    are exchanged.
    """
    if max(rates) == 1 or kernels.onednn(x.dtype.name) is not OneDNN.OFF:
        return tf.raw_ops.Conv2DBackpropInput(
            input_sizes=tf.shape(x),
            filter=kernel,
            out_backprop=dy,
            **_native_arguments(kernel.shape, rates, pads),
        )
    reach = ((kernel.shape[0] - 1) * rates[0], (kernel.shape[1] - 1) * rates[1])
    around = tuple(
        (length - before, length - after)
        for length, (before, after) in zip(reach, pads, strict=True)
    )
    mirrored = tf.transpose(kernel[::-1, ::-1], (0, 1, 3, 2))
    return _differentiable(dy, mirrored, rates, around)


def _kernel_gradient(x, kernel, dy, rates: Rates, pads: Pads):
    if max(rates) == 1:
        return tf.raw_ops.Conv2DBackpropFilter(
            input=x,
            filter_sizes=kernel.shape,
            out_backprop=dy,
            **_native_arguments(kernel.shape, rates, pads),
        )
    return filter_gradient(x, dy, kernel.shape[:2], rates, pads)


def filter_gradient(x, dy, kernel_size, rates: Rates, pads: Pads) -> tf.Tensor:
    """Returns the gradient of the kernel, [k, k', C, F].

    The gradient at each tap is the product of the pixels that the tap reads with `dy` at the places
    that the tap writes to.
    """
    channels, filters = x.shape[-1], dy.shape[-1]
    absent = tf.zeros((channels, filters), dy.dtype)
    gradients = [absent] * (kernel_size[0] * kernel_size[1])
    before = absent
    for tap in _taps(*_axes(_sizes(x), kernel_size, rates, pads)):
        # The taps run one after another, since copies for nine at once take nine times the memory.
        with tf.control_dependencies([before]):
            read = tf.reshape(tap.read(x), (-1, channels))
            gave = tf.reshape(tap.written(dy), (-1, filters))
        before = tf.matmul(read, gave, transpose_a=True)
        gradients[tap.row * kernel_size[1] + tap.column] = before
    return tf.reshape(tf.stack(gradients), (*kernel_size, channels, filters))


# The forms.


def in_form(form: Form, x, kernel, rates: Rates, pads: Pads) -> tf.Tensor:
    """Convolves in the given form, without the gradient that this module defines."""
    if form is Form.TAPS:
        return _by_taps(x, kernel, rates, pads)
    if form is Form.REGIONS:
        return _by_regions(x, kernel, rates, pads)
    return native(x, kernel, rates, pads)


def native(x, kernel, rates: Rates, pads: Pads) -> tf.Tensor:
    """Convolves in one operation, which every runtime knows."""
    return tf.raw_ops.Conv2D(input=x, filter=kernel, **_native_arguments(kernel.shape, rates, pads))


def _native_arguments(kernel_shape, rates: Rates, pads: Pads) -> dict:
    """Returns stride, rates and padding as TensorFlow's operations take them."""
    given = {"strides": [1, 1, 1, 1], "dilations": [1, *rates, 1]}
    for padding in ("VALID", "SAME"):
        if pads == zeros_around(kernel_shape, rates, padding):
            return {**given, "padding": padding}
    flat = [zeros for around in pads for zeros in around]
    return {**given, "padding": "EXPLICIT", "explicit_paddings": [0, 0, *flat, 0, 0]}


def _by_taps(x, kernel, rates: Rates, pads: Pads) -> tf.Tensor:
    channels, filters = kernel.shape[2:]
    batch = _sizes(x)[0]
    if None in x.shape[1:3] and valid_share(x.shape, kernel.shape, rates, pads) > WORTH_LEAVING:
        # With an open size each tap would need ten times the operations to compute its bounds, so
        # the map is padded first.
        x, pads = tf.pad(x, [(0, 0), *pads, (0, 0)]), ((0, 0), (0, 0))
    rows, columns = _axes(_sizes(x), kernel.shape[:2], rates, pads)
    whole = (batch, rows.written, columns.written, filters)
    whole = tf.stack(whole) if rows.is_open or columns.is_open else whole
    weights = [tf.unstack(row) for row in tf.unstack(kernel)]
    total = None
    for tap in sorted(_taps(rows, columns), key=lambda tap: not tap.is_whole):
        # The taps run one after another, since nine copies of the input take nine times the memory.
        with tf.control_dependencies([] if total is None else [total]):
            read = tap.read(x)
        product = tf.matmul(tf.reshape(read, (-1, channels)), weights[tap.row][tap.column])
        if tap.is_whole:
            product = tf.reshape(product, whole)
        else:
            product = tap.widened(tf.reshape(product, (batch, *tap.size, filters)))
        # Each sum rounds, and a bfloat16 has only 8 bits, so sums are kept in float32.
        product = tf.cast(product, tf.float32) if x.dtype.size < 4 else product
        total = product if total is None else total + product
    if total is None:  # no tap reads the map: an even kernel may reach beyond both its sides
        return tf.zeros(whole, x.dtype)
    return tf.cast(total, x.dtype)


def _by_regions(x, kernel, rates: Rates, pads: Pads) -> tf.Tensor:
    channels, filters = kernel.shape[2:]
    batch = _sizes(x)[0]
    rows, columns = _axes(x.shape, kernel.shape[:2], rates, pads)
    bands = []
    for above, below, row_taps in rows.regions():
        parts = []
        for left, right, column_taps in columns.regions():
            shape = (batch, below - above, right - left, filters)
            if not row_taps or not column_taps:
                parts.append(tf.zeros(shape, x.dtype))
                continue
            lines = [slice(above + rows.offset(i), below + rows.offset(i)) for i in row_taps]
            sides = [
                slice(left + columns.offset(j), right + columns.offset(j)) for j in column_taps
            ]
            read = [x[:, line, side] for line in lines for side in sides]
            pixels = tf.reshape(tf.concat(read, axis=-1), (-1, len(read) * channels))
            weights = kernel[row_taps.start : row_taps.stop, column_taps.start : column_taps.stop]
            weights = tf.reshape(weights, (len(read) * channels, filters))
            parts.append(tf.reshape(tf.matmul(pixels, weights), shape))
        bands.append(tf.concat(parts, axis=2))
    return tf.concat(bands, axis=1)


# The choice.


def best_form(shape, kernel_shape, rates: Rates, pads: Pads, dtype: str) -> Form:
    """Chooses the fastest form on this CPU for an input and a kernel of these shapes.

    The limits between the forms were measured by `tests/benchmarks/convolution_forms.py`.
    """
    here = kernels.onednn(dtype)
    axes = _axes(shape, kernel_shape, rates, pads)
    empty = any(axis.size is not None and min(axis.size, axis.written) < 1 for axis in axes)
    if empty or here in (OneDNN.AVX512, OneDNN.OTHER):
        return Form.NATIVE
    share = valid_share(shape, kernel_shape, rates, pads)
    if here is OneDNN.AVX2:
        # The native kernel spreads several images over the cores, but not one image, so taps win.
        one_image = shape[0] is None or shape[0] == 1
        return Form.TAPS if one_image or share < 0.65 else Form.NATIVE
    if share > WORTH_LEAVING:
        return Form.NATIVE
    open_size = None in shape[1:3]
    return Form.TAPS if open_size or shape[3] >= kernel_shape[3] else Form.REGIONS


def litert_form(shape, kernel_shape, rates: Rates, pads: Pads) -> Form:
    """Chooses the fastest form in LiteRT's float kernels, measured by the same script."""
    fixed = None not in shape[1:3]
    taps = fixed and valid_share(shape, kernel_shape, rates, pads) <= WORTH_LEAVING
    return Form.TAPS if taps else Form.NATIVE


def valid_share(shape, kernel_shape, rates: Rates, pads: Pads) -> float:
    """Returns the share of multiplications that are not by padding; a guess for an open size."""
    # An open size counts as 33, the paper's map of a crop of 513 at output_stride 16.
    known = [*shape[:1], *(33 if size is None else size for size in shape[1:3])]
    share = 1.0
    for axis in _axes(known, kernel_shape[:2], rates, pads):
        share *= sum(stop - start for start, stop in axis.spans) / (axis.side * axis.written)
    return share


# The geometry.


@dataclasses.dataclass(frozen=True)
class _TapAxis:
    """The rows or the columns of a convolution: the pixels that each tap reads and writes.

    Attributes:
        size: the map's rows or columns; a scalar tensor where the image's size is open.
        side: the kernel's rows or columns, which are the taps on this axis.
        rate: the atrous rate.
        before, after: the zeros around the map.
    """

    size: Any
    side: int
    rate: int
    before: int
    after: int

    @functools.cached_property
    def written(self) -> Any:
        return self.size - self.less if self.less else self.size

    @property
    def is_open(self) -> bool:
        return not isinstance(self.size, int)

    def offset(self, tap: int) -> int:
        """Returns the place that the tap reads minus the place that the tap writes."""
        return tap * self.rate - self.before

    @property
    def less(self) -> int:
        """Returns how many fewer places the result has than the map."""
        return (self.side - 1) * self.rate - self.before - self.after

    def is_whole(self, tap: int) -> bool:
        """Returns whether the tap reads the map for every place of the result, at any size."""
        return 0 <= self.offset(tap) <= self.less

    def read(self, tap: int) -> slice:
        """Returns the slice of the map that the tap reads.

        The bounds are numbers where the tap is whole, even where the size is open.
        """
        if self.is_whole(tap):
            return slice(self.offset(tap), self.offset(tap) - self.less or None)
        start, stop = self.spans[tap]
        return slice(start + self.offset(tap), stop + self.offset(tap))

    @functools.cached_property
    def spans(self) -> list[tuple]:
        """Lists for each tap the places of the result for which the tap reads the map.

        Each entry is the first place and the one after the last.
        """
        larger, smaller = (tf.maximum, tf.minimum) if self.is_open else (max, min)
        written, spans = self.written, []
        for tap in range(self.side):
            if self.is_whole(tap):
                spans.append((0, written))
                continue
            start = smaller(larger(0, -self.offset(tap)), written)
            spans.append((start, larger(start, smaller(written, self.size - self.offset(tap)))))
        return spans

    def regions(self) -> Iterator[tuple[int, int, range]]:
        """Yields (start, stop, taps): an interval of the result, and the taps that read for it."""
        borders = sorted({0, self.written, *itertools.chain(*self.spans)})
        for start, stop in itertools.pairwise(borders):
            taps = [tap for tap, (a, b) in enumerate(self.spans) if a <= start and stop <= b]
            yield start, stop, range(taps[0], taps[-1] + 1) if taps else range(0)


class _Tap(NamedTuple):
    """One position of the kernel, with the axes on which it reads and writes."""

    row: int
    column: int
    rows: _TapAxis
    columns: _TapAxis

    @property
    def is_whole(self) -> bool:
        return self.rows.is_whole(self.row) and self.columns.is_whole(self.column)

    @property
    def spans(self):
        return self.rows.spans[self.row], self.columns.spans[self.column]

    @property
    def size(self):
        """Returns how many rows and columns the tap writes."""
        (above, below), (left, right) = self.spans
        return below - above, right - left

    def read(self, x):
        """Returns the part of `x` [B, H, W, C] that the tap reads."""
        if self.is_whole and self.rows.less == self.columns.less == 0:
            return x
        return x[:, self.rows.read(self.row), self.columns.read(self.column)]

    def written(self, y):
        """Returns the part of `y` [B, H', W', F] that the tap writes to."""
        (above, below), (left, right) = self.spans
        return y if self.is_whole else y[:, above:below, left:right]

    def widened(self, part):
        """Returns the tap's product as [B, H', W', F], with zeros where the tap reads nothing."""
        (above, below), (left, right) = self.spans
        rows, columns = (above, self.rows.written - below), (left, self.columns.written - right)
        return tf.pad(part, [(0, 0), rows, columns, (0, 0)])


def _axes(shape, kernel_size, rates: Rates, pads: Pads) -> tuple[_TapAxis, _TapAxis]:
    """Returns the rows and the columns for a shape [B, H, W, C] of numbers or scalar tensors."""
    rows, columns = (_TapAxis(shape[i + 1], kernel_size[i], rates[i], *pads[i]) for i in (0, 1))
    return rows, columns


def _sizes(x) -> list[Any]:
    """Returns the shape of `x`, in numbers where they are known and else in scalar tensors."""
    return [tf.shape(x)[i] if size is None else size for i, size in enumerate(x.shape)]


def _taps(rows: _TapAxis, columns: _TapAxis) -> list[_Tap]:
    """Lists the taps that read something; all taps where the size is open."""
    taps = [
        _Tap(row, column, rows, columns)
        for row in range(rows.side)
        for column in range(columns.side)
    ]
    if rows.is_open or columns.is_open:
        return taps
    return [tap for tap in taps if min(tap.size) > 0]
