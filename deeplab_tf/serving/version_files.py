"""The numbered folders of a model, and whether the files of each are there.

Tested in tests/serving/test_model_folder.py.
"""

import dataclasses
import os
import pathlib
import re

from deeplab_tf.artefacts.description import DESCRIPTION
from deeplab_tf.artefacts.openvino import MODEL_FILE, WEIGHTS_FILE
from deeplab_tf.artefacts.saved_model import EXTRA_DIR, SAVED_MODEL_FILE
from deeplab_tf.errors import DeeplabError

PARTS = (
    (SAVED_MODEL_FILE, f"{EXTRA_DIR}/{DESCRIPTION}", "variables/variables.index"),
    (MODEL_FILE, WEIGHTS_FILE),
)
"""The files that a version has, for each kind of model, SavedModel and OpenVINO; the first is that
which marks the kind."""

_SHARD = re.compile(r"variables/variables\.data-\d{5}-of-(\d{5})")


@dataclasses.dataclass(frozen=True)
class VersionFiles:
    """The files of one version. Two looks that find the same are equal.

    Attributes:
        folder: the version's folder, whose name is its number.
        files: path inside the folder, size in bytes and time of the last change in nanoseconds, of
            each file, sorted by path.
    """

    folder: pathlib.Path
    files: tuple[tuple[str, int, int], ...]

    @property
    def missing(self) -> str | None:
        """The path of a file that a model of ours has and the folder has not; None: none."""
        names = {name for name, _, _ in self.files}
        parts = max(PARTS, key=lambda parts: len(names.intersection(parts)))
        for name in parts:
            if name not in names:
                return name
        if SAVED_MODEL_FILE not in parts:
            return None
        counts = [int(found[1]) for name in names if (found := _SHARD.fullmatch(name))]
        count = max(counts, default=1)
        shards = (f"variables/variables.data-{i:05}-of-{count:05}" for i in range(count))
        return next((name for name in shards if name not in names), None)


def has_versions(path: pathlib.Path) -> bool:
    """Returns whether `path` is a folder of numbered folders, and no model itself."""
    return bool(_numbered(path)) and not any((path / parts[0]).is_file() for parts in PARTS)


def version_files(path: pathlib.Path) -> dict[int, VersionFiles]:
    """Returns the files of each numbered folder in `path`, by number; empty without such a folder.

    Raises:
        OSError: a folder cannot be read.
        DeeplabError: two folders have one number, as 2 and 02 have.
    """
    found: dict[int, VersionFiles] = {}
    for folder in _numbered(path):
        other = found.setdefault(int(folder.name), VersionFiles(folder, _files(folder))).folder
        if other != folder:
            raise DeeplabError(
                f"{path} must have one folder a version; received {other.name} and {folder.name}: "
                "remove or renumber one"
            )
    return found


def _numbered(path: pathlib.Path) -> list[pathlib.Path]:
    if not path.is_dir():
        return []
    return sorted(entry for entry in path.iterdir() if entry.name.isdecimal() and entry.is_dir())


def _files(folder: pathlib.Path) -> tuple[tuple[str, int, int], ...]:
    found = []
    for parent, _, names in os.walk(folder, followlinks=True):
        for name in names:
            file = pathlib.Path(parent, name)
            try:
                state = file.stat()
            except FileNotFoundError:  # removed between the listing and here, as a copy's part
                continue
            path = file.relative_to(folder).as_posix()
            found.append((path, state.st_size, state.st_mtime_ns))
    return tuple(sorted(found))
