"""The curves of a training and of its evaluations, drawn from its `metrics.jsonl`.

Tested in tests/evaluation/test_report.py.
"""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from deeplab_tf.images.figure import INK, LINE, MARK, new_figure
from deeplab_tf.runs.validations import LOSS, MEAN_IOU
from deeplab_tf.runs.workdir import read_metrics

_SMOOTH_OVER = 15
"""The number of log lines in the moving average; odd."""


PICTURES = ("loss.png", "learning_rate.png", "mean_iou.png", "cross_entropy.png")
"""The names of all curves."""


def draw_curves(metrics: pathlib.Path, folder: pathlib.Path) -> list[str]:
    """Draws the curves of a training into `folder` and returns the names of the files.

    The curves are `loss.png` and `learning_rate.png`, and where the training was evaluated while it
    ran, `mean_iou.png` with the best marked, and `cross_entropy.png` of the training and of the
    evaluations. With fewer than two lines of the training nothing is drawn.

    Args:
        metrics: a file with one JSON object a line, with `step`, `loss` and `learning_rate`, or
            with `step`, `val_mean_iou` and `val_loss`; a last line cut off by a kill is left out.
        folder: an existing folder.
    """
    rows = read_metrics(metrics)
    training = [row for row in rows if "loss" in row]
    evaluations = [row for row in rows if MEAN_IOU in row]
    if len(training) < 2:
        return []
    steps, loss = _curve(training, "loss")
    rate = _curve(training, "learning_rate")[1]
    with _picture(folder / "loss.png", "loss") as axes:
        _draw(axes, steps, loss, smooth=True)
    with _picture(folder / "learning_rate.png", "learning rate") as axes:
        _draw(axes, steps, rate, smooth=False)
    if not evaluations:
        return [*PICTURES[:2]]
    evaluated, mean_iou = _curve(evaluations, MEAN_IOU)
    best = int(np.argmax(mean_iou))
    title = f"mean IoU, %: best {100 * mean_iou[best]:.2f} at step {evaluated[best]}"
    with _picture(folder / "mean_iou.png", title) as axes:
        axes.plot(evaluated, 100 * mean_iou, "o-", color=LINE, linewidth=2, markersize=3)
        axes.plot(evaluated[best], 100 * mean_iou[best], "o", color=MARK, markersize=8)
    title = "cross entropy; grey: training, blue: held out"
    with _picture(folder / "cross_entropy.png", title) as axes:
        _draw(axes, *_curve(training, "cross_entropy"), smooth=True, color=INK)
        values = _curve(evaluations, LOSS)[1]
        axes.plot(evaluated, values, "o-", color=LINE, linewidth=2, markersize=3)
    return [*PICTURES]


def _curve(rows: list[dict], name: str) -> tuple[list[int], np.ndarray]:
    """Returns the steps of `rows` and their float64 values of `name`, NaN where there is none."""
    return [row["step"] for row in rows], np.array([row.get(name) for row in rows], np.float64)


@contextlib.contextmanager
def _picture(path: pathlib.Path, title: str) -> Iterator[Any]:
    """Yields the axes of a picture, which is written to `path` at the end."""
    from matplotlib.ticker import MaxNLocator

    figure = new_figure((6, 3.6), dpi=160)
    axes = figure.add_subplot()
    yield axes
    axes.set_ylim(bottom=0)
    axes.set_title(title, color=INK, loc="left", fontsize=12)
    axes.set_xlabel("step", color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(colors=INK)
    axes.grid(color=INK, alpha=0.25)
    axes.spines[:].set_visible(False)
    figure.savefig(path, transparent=True)


def _draw(axes: Any, steps: list[int], values: np.ndarray, *, smooth: bool, color: str = LINE):
    averaged = smooth and len(values) > 2 * _SMOOTH_OVER
    width, alpha = (1, 0.35) if averaged else (2, 1)
    axes.plot(steps, values, color=color, linewidth=width, alpha=alpha)
    if averaged:
        axes.plot(steps, moving_average(values, _SMOOTH_OVER), color=color, linewidth=2)


def moving_average(values: np.ndarray, window: int) -> np.ndarray:
    """Returns, for each value, the mean of the `window` values around it, [N] -> [N].

    `window` is odd. At the ends the mean is over fewer values.
    """
    sums = np.cumsum(np.concatenate([[0.0], values]))
    index = np.arange(len(values))
    starts = np.maximum(index - window // 2, 0)
    ends = np.minimum(index + window // 2 + 1, len(values))
    return (sums[ends] - sums[starts]) / (ends - starts)
