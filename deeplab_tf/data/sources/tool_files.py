"""The JSON and CSV files of labelling tools, read with their content checked.

Tested in tests/data/sources/test_labelme.py and tests/data/sources/test_via.py.
"""

import contextlib
import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from deeplab_tf.data.sources.find_images import visible_files
from deeplab_tf.errors import DeeplabError, one_line

BOM = b"\xef\xbb\xbf"
MAX_SNIFFED = 20
"""The most files of a kind that are opened to find out which tool wrote them."""

Content = TypeVar("Content")


def read_json(path: Path, content: pydantic.TypeAdapter[Content], what: str) -> Content:
    """Reads a JSON file, with or without a byte order mark, and checks its fields.

    Args:
        path: the file.
        content: the type of the content; fields that it does not have are ignored.
        what: the words for the file in errors, such as `Labelme's JSON`.

    Raises:
        DeeplabError: the file cannot be read, or a field is missing or wrong; the message names it.
    """
    try:
        return content.validate_json(path.read_bytes().removeprefix(BOM))
    except pydantic.ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        problem = f"{first['msg']}{f' at {where}' if where else ''}"
    except OSError as error:
        problem = f"it cannot be read: {error.strerror}"
    raise DeeplabError(f"{path} is not {what}: {one_line(problem)[:200]}")


def read_rows(path: Path) -> list[dict[str, str]]:
    """Reads a CSV file with a header, whose names are stripped, as one dict for each row.

    A row without a field has an empty text for it.

    Raises:
        DeeplabError: the file cannot be read as text or as CSV.
    """
    csv.field_size_limit(2**31 - 1)  # run lengths of one image are longer than the default
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DeeplabError(f"{path} cannot be read as CSV: {one_line(str(error))}") from error
    if not rows:
        raise DeeplabError(f"{path} is empty")
    header = [name.strip() for name in rows[0]]
    return [
        dict(zip(header, [*row, *[""] * (len(header) - len(row))], strict=False))
        for row in rows[1:]
        if any(row)
    ]


def header_of(path: Path) -> set[str]:
    """Returns the stripped names in the first row of a CSV file; empty where it is none."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return {name.strip() for name in next(csv.reader(file), [])}
    except (OSError, UnicodeDecodeError, csv.Error):
        return set()


def json_files(
    root: Path, written_by: Callable[[Any], bool], most: int | None = None
) -> list[Path]:
    """Returns the JSON files below a folder whose content a tool wrote; broken ones are left out.

    Args:
        root: the folder.
        written_by: whether the tool wrote a file with that content.
        most: the most files to open; None for all.
    """
    return [path for path in visible_files(root, (".json",))[:most] if holds(path, written_by)]


def holds(path: Path, written_by: Callable[[Any], bool]) -> bool:
    """Returns whether a JSON file has such a content; a broken file has none."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        return written_by(json.loads(path.read_bytes().removeprefix(BOM)))
    return False
