"""The figures of a report: confusion matrix, reliability curve, objects by size.

Tested in tests/evaluation/test_report.py.
"""

import pathlib
from typing import TYPE_CHECKING

import numpy as np

from deeplab_tf.evaluation.calibration import BINS, Calibration
from deeplab_tf.evaluation.object_sizes import IOU_UNITS, group_names
from deeplab_tf.images.figure import INK, LINE, MARK, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CONFUSION, RELIABILITY, SIZES = "confusion.png", "reliability.png", "object_sizes.png"
FIGURES = (CONFUSION, RELIABILITY, SIZES)
NUMBERED = 12
"""The most classes whose cells have numbers."""
_LARGE = 40
"""The most classes that get a full-size line."""


def draw_confusion(matrix: np.ndarray, names: tuple[str, ...], path: pathlib.Path) -> None:
    """Draws the confusion matrix as a picture: what became of each true class, in shares of it.

    Args:
        matrix: int64 [C, C]; rows are true classes.
        names: the names of the classes.
        path: the file to write.
    """
    from matplotlib.colors import PowerNorm

    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.full(matrix.shape, np.nan), where=totals > 0)
    count = len(names)
    line, font = (0.26, 9) if count <= _LARGE else (0.13, 5)
    side = max(3.0, line * count) + 0.08 * max(map(len, names))
    figure = new_figure((side + 0.9, side), dpi=160 if count <= _LARGE else 120)
    axes = figure.add_subplot()
    # The root makes a confusion of one per cent visible beside the diagonal.
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))
    axes.set_xticks(range(count), names, rotation=90, fontsize=font)
    axes.set_yticks(range(count), names, fontsize=font)
    axes.set_xlabel("prediction", color=INK)
    axes.set_ylabel("truth", color=INK)
    axes.tick_params(colors=INK)
    axes.spines[:].set_visible(False)
    if count <= NUMBERED:
        for (row, column), share in np.ndenumerate(shares):
            if not np.isnan(share):
                color = "white" if share > 0.35 else "#1d2530"
                text = f"{100 * share:.0f}" if share >= 0.005 else "0"
                axes.text(column, row, text, ha="center", va="center", color=color, fontsize=7)
    bar = figure.colorbar(image, ax=axes, shrink=0.6, ticks=[0, 0.01, 0.1, 0.25, 0.5, 1])
    bar.ax.set_yticklabels(["0", "1", "10", "25", "50", "100 %"], color=INK, fontsize=8)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    figure.savefig(path, transparent=True)


def draw_reliability(calibration: Calibration, path: pathlib.Path) -> None:
    """Draws accuracy against confidence, above the share of the pixels in each bin."""
    figure = new_figure((5, 5), dpi=160)
    upper, lower = figure.subplots(2, height_ratios=[3, 1], sharex=True)
    centers = (np.arange(BINS) + 0.5) / BINS
    some = calibration.pixels > 0
    upper.plot([0, 1], [0, 1], "--", color=INK, linewidth=1)
    upper.bar(centers, np.nan_to_num(calibration.accuracy), 0.9 / BINS, color=LINE, alpha=0.35)
    upper.plot(
        calibration.confidence[some], calibration.accuracy[some], "o-", color=MARK, markersize=4
    )
    upper.set_ylim(0, 1)
    upper.set_ylabel("accuracy", color=INK)
    shares = calibration.pixels / max(int(calibration.pixels.sum()), 1)
    lower.bar(centers, 100 * shares, 0.9 / BINS, color=LINE)
    lower.set_ylabel("pixels, %", color=INK)
    lower.set_xlabel("confidence", color=INK)
    lower.set_xlim(0, 1)
    for axes in (upper, lower):
        _plain(axes)
    figure.savefig(path, transparent=True)


def draw_sizes(counts: np.ndarray, path: pathlib.Path) -> None:
    """Draws the mean IoU of the objects of each size, with their number.

    `counts` is int64 [GROUPS, 3], as of `object_counts`, over all classes.
    """
    figure = new_figure((6, 3.4), dpi=160)
    axes = figure.add_subplot()
    objects, units, found = counts.T
    mean = np.divide(units, IOU_UNITS * objects, out=np.zeros(len(counts)), where=objects > 0)
    share = np.divide(found, objects, out=np.full(len(counts), np.nan), where=objects > 0)
    places = np.arange(len(counts))
    axes.bar(places, 100 * mean, 0.8, color=LINE)
    axes.plot(places, 100 * share, "o", color=MARK, markersize=5)
    for place, number in enumerate(objects.tolist()):
        axes.text(place, 101, f"{number:,}", ha="center", color=INK, fontsize=8)
    axes.set_ylim(0, 110)
    axes.set_yticks([0, 25, 50, 75, 100])
    axes.set_xticks(places, group_names())
    axes.set_xlabel("side of the square of an object's area, pixels; above: objects", color=INK)
    axes.set_title("bars: mean IoU, %; dots: found, %", color=INK, loc="left", fontsize=11)
    _plain(axes)
    figure.savefig(path, transparent=True)


def _plain(axes: "Axes") -> None:
    axes.tick_params(colors=INK)
    axes.grid(axis="y", color=INK, alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
