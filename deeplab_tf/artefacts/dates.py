"""The dates in a `.keras` file, without which the same network gives the same bytes.

Tested in tests/named/test_find.py, through `run_import`.
"""

import json
import pathlib
import shutil
import zipfile

METADATA = "metadata.json"
"""Keras' member with the version and the date."""

NO_DATE = (1980, 1, 1, 0, 0, 0)
"""The earliest date of a zip archive."""


def remove_dates(path: pathlib.Path) -> None:
    """Rewrites the `.keras` file `path` without the dates of its members and Keras' own date.

    The member that Keras calls `metadata.json` keeps the version of Keras.
    """
    rewritten = path.with_name(f"{path.name}.undated")
    try:
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(rewritten, "w") as new:
            for member in old.infolist():
                info = zipfile.ZipInfo(member.filename, NO_DATE)
                info.compress_type = member.compress_type
                info.file_size = member.file_size
                with old.open(member) as source, new.open(info, "w") as target:
                    if member.filename == METADATA:
                        content = json.load(source)
                        content.pop("date_saved", None)
                        target.write(json.dumps(content).encode())
                    else:
                        shutil.copyfileobj(source, target, 1 << 20)
        rewritten.replace(path)
    finally:
        rewritten.unlink(missing_ok=True)
