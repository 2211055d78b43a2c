"""The dates and addresses in a `.keras` file, without which a network always gives the same bytes.

Tested in tests/named/test_find.py, through `run_import`.
"""

import json
import pathlib
import shutil
import zipfile
from typing import Any

METADATA = "metadata.json"
"""Keras' member with the version and the date."""

CONFIG = "config.json"
"""Keras' member with the network's layers."""

SHARED = "shared_object_id"
"""The key in `CONFIG` of an object's number: the address it had in memory."""

NO_DATE = (1980, 1, 1, 0, 0, 0)
"""The earliest date of a zip archive."""


def remove_dates(path: pathlib.Path) -> None:
    """Rewrites the `.keras` file `path` without the dates of its members and Keras' own date.

    The member that Keras calls `metadata.json` keeps the version of Keras. Objects are numbered in
    the order in which they come, where Keras writes addresses of this process.
    """
    rewritten = path.with_name(f"{path.name}.undated")
    try:
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(rewritten, "w") as new:
            for member in old.infolist():
                info = zipfile.ZipInfo(member.filename, NO_DATE)
                info.compress_type = member.compress_type
                info.file_size = member.file_size  # by which large members get 64-bit sizes
                with old.open(member) as source, new.open(info, "w") as target:
                    if member.filename == METADATA:
                        content = json.load(source)
                        content.pop("date_saved", None)
                        target.write(json.dumps(content).encode())
                    elif member.filename == CONFIG:
                        content = json.load(source)
                        _number(content, {})
                        target.write(json.dumps(content).encode())
                    else:
                        shutil.copyfileobj(source, target, 1 << 20)
        rewritten.replace(path)
    finally:
        rewritten.unlink(missing_ok=True)


def _number(content: Any, numbers: dict[int, int]) -> None:
    """Replaces each address below `content` by the number that `numbers` has or gets for it."""
    if isinstance(content, dict):
        if isinstance(content.get(SHARED), int):
            content[SHARED] = numbers.setdefault(content[SHARED], len(numbers))
        for value in content.values():
            _number(value, numbers)
    elif isinstance(content, list):
        for value in content:
            _number(value, numbers)
