"""The page of a comparison: one file of HTML without pictures of others.

Tested in tests/evaluation/test_compare.py, through `compare`.
"""

import json
import pathlib
from collections.abc import Sequence
from html import escape

from deeplab_tf.evaluation.bootstrap import DRAWS, FEW, LEVEL, Difference
from deeplab_tf.evaluation.comparison import (
    ChangedImage,
    Comparison,
    changes_of,
    interval,
    signed,
)
from deeplab_tf.evaluation.page import page, table
from deeplab_tf.files import containing, write_text
from deeplab_tf.images.confusion import percent

_TITLE = "Comparison of two runs"
is_comparison_page = containing(b'content="deeplab_tf"', f"<h1>{_TITLE}</h1>".encode())
"""Recognises the page of a comparison."""
SETTINGS = ("model", "step", "fingerprint", "exported", "working_size", "output_stride")
MORE_SETTINGS = ("scales", "flip", "pad_to", "window", "crf")
"""The entries of `eval.json` that say what was evaluated and how."""
_WIDTH = 200
"""The width of an interval's drawing, in pixels."""


def write_comparison_page(comparison: Comparison, path: pathlib.Path) -> None:
    """Writes the page to `path`."""
    sections = [
        _headline(comparison),
        _settings(comparison),
        _classes(comparison),
        _images("Images that are better", comparison.better),
        _images("Images that are worse", comparison.worse),
    ]
    write_text(path, page(_TITLE, sections), is_comparison_page)


def _headline(comparison: Comparison) -> str:
    mean = comparison.mean_iou
    tiles = (
        (signed(mean.change), "change of mean IoU, points"),
        (interval(mean), f"{100 * LEVEL:.0f} % interval, points"),
        (percent(mean.before, "-"), "mean IoU before, %"),
        (percent(mean.after, "-"), "mean IoU after, %"),
    )
    shown = "".join(
        f"<div class='tile'><b>{text}</b><span>{what}</span></div>" for text, what in tiles
    )
    notes = "".join(f"<p><b>{escape(note)}.</b></p>" for note in comparison.notes)
    return f"""<section class='tiles'>{shown}</section>
<dl class='facts'>
<div><dt>before</dt><dd>{escape(comparison.before.title)}</dd></div>
<div><dt>after</dt><dd>{escape(comparison.after.title)}</dd></div>
<div><dt>evaluated on</dt><dd>{len(comparison.after.images):,} images of
{escape(comparison.after.split)}</dd></div></dl>
{notes}
<p>The intervals come from {DRAWS:,} bootstrap draws of the images: they say how the change would
vary with other images of the same kind, and nothing of other trainings of the same kind.</p>"""


def _settings(comparison: Comparison) -> str:
    """Returns a table of what was evaluated otherwise."""
    both = (comparison.before.figures, comparison.after.figures)
    rows = [
        [escape(name), *(escape(json.dumps(figures.get(name))) for figures in both)]
        for name in (*SETTINGS, *MORE_SETTINGS)
        if both[0].get(name) != both[1].get(name)
    ]
    if not rows:
        return ""
    shown = table(["setting", "before", "after"], rows)
    return f"<section><h2>Settings that differ</h2>\n{shown}</section>"


def _classes(comparison: Comparison) -> str:
    each = list(zip(comparison.after.names, comparison.classes, strict=True))
    each.sort(key=lambda pair: (pair[1].change is None, pair[1].change or 0.0, pair[0]))
    ends = [abs(x) for _, one in each for x in (one.low, one.high, one.change) if x is not None]
    largest = max(ends, default=0.0) or 1.0
    rows = [
        [
            escape(name),
            f"{one.images:,}",
            percent(one.before, "-"),
            percent(one.after, "-"),
            f"<b>{signed(one.change)}</b>" if one.is_clear else signed(one.change),
            interval(one),
            f"<td>{_drawn(one, largest)}</td>",
        ]
        for name, one in each
    ]
    head = [
        "class",
        "images",
        "before, %",
        "after, %",
        "change",
        f"{100 * LEVEL:.0f} % interval",
        "drawn",
    ]
    return f"""<section><h2>IoU by class</h2>
<p>The class that lost most is first. Images: those whose truth has the class. Bold: the interval
lies on one side of 0, by {FEW} images or more.</p>
{table(head, rows)}</section>"""


def _drawn(one: Difference, largest: float) -> str:
    """Returns a drawing of the interval and the change, with 0 in the middle."""
    if one.low is None or one.high is None or one.change is None:
        return ""
    low, high, change = (
        _WIDTH / 2 + x / largest * (_WIDTH / 2 - 6) for x in (one.low, one.high, one.change)
    )
    return (
        f"<svg class='interval' width='{_WIDTH}' height='16' role='img' "
        f"aria-label='{interval(one)}'><path d='M{_WIDTH / 2:g} 0v16'/>"
        f"<path class='range' d='M{low:.1f} 8H{high:.1f}'/><circle cx='{change:.1f}' cy='8' r='4'/>"
        "</svg>"
    )


def _images(title: str, images: Sequence[ChangedImage]) -> str:
    if not images:
        return ""
    head = ["image", "before, %", "after, %", "change", "most by class, IoU %"]
    rows = [[escape(cell) for cell in cells] for cells in changes_of(images)]
    return f"""<section><h2>{title}</h2>
<p>Mean IoU over the classes in the image's truth.</p>
{table(head, rows)}</section>"""
