"""Two evaluations on the same images, side by side: by class, and the images that changed most."""

import dataclasses
import pathlib
from collections.abc import Callable

from deeplab_tf.evaluation.bootstrap import DRAWS, FEW, LEVEL, SEED, Difference
from deeplab_tf.evaluation.comparison import Comparison, changes_of, compared, interval, signed
from deeplab_tf.evaluation.comparison_page import is_comparison_page, write_comparison_page
from deeplab_tf.evaluation.evaluated import Evaluated, read_evaluated, read_other
from deeplab_tf.files import check_file, json_text, json_with, write_text
from deeplab_tf.images.confusion import percent
from deeplab_tf.text_table import align

COMPARISON_FILE = "comparison.json"
COMPARISON_PAGE = "comparison.html"
is_comparison = json_with("compared_with", "mean_iou", "draws")
"""Recognises a `COMPARISON_FILE`."""


def check_comparison_replaceable(folder: pathlib.Path) -> None:
    """Raises `DeeplabError` where a comparison would replace what none wrote."""
    check_file(folder / COMPARISON_FILE, is_comparison)
    check_file(folder / COMPARISON_PAGE, is_comparison_page)


def compare(
    before: pathlib.Path, after: pathlib.Path, report: Callable[[str], None] = print
) -> Comparison:
    """Compares the evaluation in the folder `after` with that in `before`.

    Writes `comparison.json` and `comparison.html` into `after`, and reports the table.

    Raises:
        DeeplabError: one of the two has no results, or they are of other classes, of another split,
            of other images or against another truth.
    """
    check_comparison_replaceable(after)
    return compare_evaluated(read_other(before, after), after, report)


def compare_evaluated(
    other: Evaluated, after: pathlib.Path, report: Callable[[str], None] = print
) -> Comparison:
    """Compares as `compare` does, with results that are read already."""
    comparison = compared(other, read_evaluated(after))
    write_comparison_page(comparison, after / COMPARISON_PAGE)
    write_text(after / COMPARISON_FILE, json_text(_content(comparison)), is_comparison)
    report(
        f"{format_comparison(comparison)}\n\nfigures    {after / COMPARISON_FILE}\n"
        f"comparison {after / COMPARISON_PAGE}"
    )
    return comparison


def format_comparison(comparison: Comparison) -> str:
    """Returns the tables of a comparison as text, in per cent."""
    head = ["IoU, %", "images", "before", "after", "change", f"{100 * LEVEL:.0f} % interval", ""]
    rows = [
        [name, *_cells(difference)]
        for name, difference in zip(
            ("mean", *comparison.before.names),
            (comparison.mean_iou, *comparison.classes),
            strict=True,
        )
    ]
    lines = [
        f"before  {comparison.before.title}",
        f"after   {comparison.after.title}",
        *(f"note    {note}" for note in comparison.notes),
        f"{len(comparison.after.images)} images of {comparison.after.split}; * the interval "
        f"({DRAWS} bootstrap draws of images) lies on one side of 0, by {FEW} images or more",
        "",
        align([head, *rows]),
    ]
    for title, images in (("better", comparison.better), ("worse", comparison.worse)):
        if images:
            heads = [f"{title}: mean IoU, %", "before", "after", "change", "most by class"]
            lines += ["", align([heads, *changes_of(images)])]
    return "\n".join(lines)


def _cells(difference: Difference) -> list[str]:
    before, after = (percent(share, "-") for share in (difference.before, difference.after))
    return [
        f"{difference.images:,}",
        *(before, after, signed(difference.change), interval(difference)),
        "*" if difference.is_clear else "",
    ]


def _content(comparison: Comparison) -> dict:
    def entry(difference: Difference) -> dict:
        return {**dataclasses.asdict(difference), "change": difference.change}

    return {
        "compared_with": str(comparison.before.folder.resolve()),
        "images": len(comparison.after.images),
        "level": LEVEL,
        "draws": DRAWS,
        "seed": SEED,
        "mean_iou": entry(comparison.mean_iou),
        "classes": [
            {"name": name, **entry(difference)}
            for name, difference in zip(comparison.after.names, comparison.classes, strict=True)
        ],
        "better": [dataclasses.asdict(image) for image in comparison.better],
        "worse": [dataclasses.asdict(image) for image in comparison.worse],
    }
