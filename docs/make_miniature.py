"""Keeps the results of the study in miniature, and draws its plot.

    .venv/bin/python docs/make_miniature.py runs/miniature

The results in the folder are joined to those kept before: a row and seed that is in both is
replaced. Writes deeplab_tf/paper/miniature.json and docs/miniature.png. The tables of
docs/miniature.md are what `deeplab-paper --miniature` prints from the former.
Tested in tests/paper/test_miniature.py.
"""

import dataclasses
import json
import pathlib
import sys
from collections.abc import Sequence

from deeplab_tf.config import load_rows
from deeplab_tf.files import containing, write_text
from deeplab_tf.paper import miniature
from deeplab_tf.paper.miniature import MeasuredRow

PLOT = pathlib.Path(__file__).with_name("miniature.png")


def joined(before: Sequence[MeasuredRow], new: Sequence[MeasuredRow]) -> list[MeasuredRow]:
    """Returns the rows and seeds of both `before` and `new`, in the config's order.

    Where both have a result for a row and seed, the result in `new` is taken.
    """
    by_row = {row.row: row for row in before}
    for row in new:
        old = by_row.get(row.row)
        if old:
            mious = dict(sorted({**old.mious, **row.mious}.items()))
            minutes = dict(sorted({**(old.minutes or {}), **(row.minutes or {})}.items()))
            row = dataclasses.replace(row, mious=mious, minutes=minutes or None)
        by_row[row.row] = row
    return [by_row[name] for name in load_rows(miniature.CONFIG) if name in by_row]


def to_json(measured: Sequence[MeasuredRow]) -> str:
    """Returns `measured` as indented JSON, which `read_measured` reads."""
    return json.dumps([dataclasses.asdict(row) for row in measured], indent=2) + "\n"


def main(runs: pathlib.Path) -> None:
    """Joins the results in `runs` to those kept before, draws and prints them."""
    measured = joined(miniature.read_measured(), miniature.collect(runs))
    write_text(miniature.MEASURED, to_json(measured), containing(b'"mious"'))
    miniature.draw(measured, PLOT)
    print(miniature.format_rows(measured))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
