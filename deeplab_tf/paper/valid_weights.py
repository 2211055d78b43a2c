"""Figure 4: how many weights of a 3x3 filter are still on the map as the atrous rate grows."""

import pathlib

import numpy as np

from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import whole_file
from deeplab_tf.images.figure import new_figure
from deeplab_tf.images.marks import MARK, is_marked
from deeplab_tf.text_table import align

MAP_SIZE = 65
RATES = range(1, 101)
SHOWN = (1, 4, 9)
"""The numbers of valid weights that the paper draws."""


def shares_by_definition(size: int, rate: int) -> dict[int, float]:
    """Returns the share of positions by their number of valid weights, counted tap by tap.

    Args:
        size: side of the square map.
        rate: atrous rate of the 3x3 filter, whose taps lie at -rate, 0 and +rate on each axis.

    Returns:
        Number of taps on the map, 1 to 9 -> share of the size * size positions; the sum is 1.
    """
    positions = np.arange(size)
    on_axis = sum(
        ((positions + offset >= 0) & (positions + offset < size)).astype(int)
        for offset in (-rate, 0, rate)
    )
    return _shares(np.outer(on_axis, on_axis))


def shares_by_convolution(size: int, rate: int) -> dict[int, float]:
    """Returns the same shares, read off `AtrousConv2D` with weights of one on a map of ones.

    Args:
        size: side of the square map.
        rate: atrous rate of the 3x3 filter.

    Returns:
        The dictionary that `shares_by_definition` returns.
    """
    from deeplab_tf.models import AtrousConv2D

    layer = AtrousConv2D(
        1, 3, padding="same", dilation_rate=rate, use_bias=False, kernel_initializer="ones"
    )
    response = np.asarray(layer(np.ones((1, size, size, 1), np.float32)))[0, :, :, 0]
    return _shares(np.rint(response).astype(int))


def _shares(valid: np.ndarray) -> dict[int, float]:
    numbers, counts = np.unique(valid, return_counts=True)
    return {
        int(number): int(count) / valid.size for number, count in zip(numbers, counts, strict=True)
    }


def format_valid_weights() -> str:
    """Returns a table of the shares at some rates, after comparing both ways of counting.

    Raises:
        DeeplabError: the two ways do not agree at one of `RATES`.
    """
    for rate in RATES:
        defined, run = shares_by_definition(MAP_SIZE, rate), shares_by_convolution(MAP_SIZE, rate)
        if defined != run:
            raise DeeplabError(
                f"at rate {rate} the definition gives {defined} and AtrousConv2D {run}"
            )
    lines = [["atrous rate", *(f"{number} valid" for number in SHOWN)]]
    for rate in (1, 6, 12, 18, 24, 33, 48, 65):
        shares = shares_by_definition(MAP_SIZE, rate)
        lines.append([str(rate), *(f"{100 * shares.get(n, 0.0):.2f} %" for n in SHOWN)])
    return (
        f"share of the positions of a {MAP_SIZE}x{MAP_SIZE} map by valid weights of a 3x3 filter\n"
        f"{align(lines)}\ncounts by the definition and by AtrousConv2D on ones agree at the rates "
        f"{RATES[0]} to {RATES[-1]}"
    )


def draw_figure(path: pathlib.Path) -> None:
    """Draws figure 4 from the definition: the shares of 1, 4 and 9 valid weights by rate."""
    figure = new_figure((6.4, 4.2), dpi=150)
    axes = figure.add_subplot()
    by_rate = [shares_by_definition(MAP_SIZE, rate) for rate in RATES]
    for number, style in zip(SHOWN, ("-", "--", "-."), strict=True):
        name = f"{number} valid weight{'s' if number > 1 else ''}"
        shares = [shares.get(number, 0.0) for shares in by_rate]
        axes.plot(RATES, shares, style, linewidth=2, label=name)
    axes.set_xlabel("atrous rate")
    axes.set_ylabel("share of the positions")
    axes.set_title(f"3x3 filter on a {MAP_SIZE}x{MAP_SIZE} map")
    axes.set_xlim(0, RATES[-1])
    axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.3)
    axes.legend(loc="center right")
    with whole_file(path, is_marked) as temporary:
        figure.savefig(temporary, metadata={"Software": MARK})
