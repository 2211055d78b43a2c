"""The loss and learning-rate curves of a training, drawn from its `metrics.jsonl`.

Tested in tests/evaluation/test_report.py.
"""

import pathlib

import numpy as np

from deeplab_tf.images.figure import new_figure
from deeplab_tf.runs.workdir import read_metrics

_INK = "#7d8896"
"""A grey that is readable on white and on near-black, since the pictures are transparent."""
_LINE = "#3d7ff0"
_SMOOTH_OVER = 15
"""The number of log lines in the moving average; odd."""


def draw_curves(metrics: pathlib.Path, folder: pathlib.Path) -> list[str]:
    """Draws `loss.png` and `learning_rate.png` into `folder` and returns the names of the files.

    With fewer than two lines of metrics nothing is drawn.

    Args:
        metrics: a file with one JSON object a line, with `step`, `loss` and `learning_rate`; a last
            line cut off by a kill is left out.
        folder: an existing folder.
    """
    rows = read_metrics(metrics)
    if len(rows) < 2:
        return []
    steps = [row["step"] for row in rows]
    loss = np.array([row["loss"] for row in rows], np.float64)
    rate = np.array([row["learning_rate"] for row in rows], np.float64)
    _draw(steps, loss, "loss", folder / "loss.png", smooth=True)
    _draw(steps, rate, "learning rate", folder / "learning_rate.png", smooth=False)
    return ["loss.png", "learning_rate.png"]


def _draw(
    steps: list[int], values: np.ndarray, title: str, path: pathlib.Path, *, smooth: bool
) -> None:
    figure = new_figure((6, 3.6), dpi=160)
    axes = figure.add_subplot()
    averaged = smooth and len(values) > 2 * _SMOOTH_OVER
    axes.plot(
        steps, values, color=_LINE, linewidth=1 if averaged else 2, alpha=0.35 if averaged else 1
    )
    if averaged:
        axes.plot(steps, moving_average(values, _SMOOTH_OVER), color=_LINE, linewidth=2)
    axes.set_ylim(bottom=0)
    axes.set_title(title, color=_INK, loc="left", fontsize=12)
    axes.set_xlabel("step", color=_INK)
    axes.tick_params(colors=_INK)
    axes.grid(color=_INK, alpha=0.25)
    axes.spines[:].set_visible(False)
    figure.savefig(path, transparent=True)


def moving_average(values: np.ndarray, window: int) -> np.ndarray:
    """Returns, for each value, the mean of the `window` values around it, [N] -> [N].

    `window` is odd. At the ends the mean is over fewer values.
    """
    sums = np.cumsum(np.concatenate([[0.0], values]))
    index = np.arange(len(values))
    starts = np.maximum(index - window // 2, 0)
    ends = np.minimum(index + window // 2 + 1, len(values))
    return (sums[ends] - sums[starts]) / (ends - starts)
