"""Columns of text for a terminal.

Tested in tests/images/test_confusion.py, through `format_table`.
"""

from collections.abc import Sequence


def align(rows: Sequence[Sequence[str]]) -> str:
    """Returns one line a row: first column flush left, the others flush right, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
