"""Whether this package wrote a file or folder, by its content: nothing else is ever replaced.

Tested in tests/test_files.py.
"""

import contextlib
import fnmatch
import json
import mmap
import os
import pathlib
import stat
import zipfile
from collections.abc import Callable

from deeplab_tf.errors import DeeplabError
from deeplab_tf.files.mirror import before_writing, check_writable
from deeplab_tf.files.snapshot import WHOLE

Ours = Callable[[pathlib.Path], bool]
"""A function that returns whether this package wrote the existing file or folder at a path."""


def check_file(path: pathlib.Path, ours: Ours) -> None:
    """Raises `DeeplabError` where writing the file `path` would replace what is not `ours`.

    An empty file may be replaced, since nothing is lost.
    """

    def replaceable(found: os.stat_result) -> bool:
        return stat.S_ISREG(found.st_mode) and (not found.st_size or ours(path))

    _check(path, replaceable, folder=False)


def check_folder(path: pathlib.Path, ours: Ours) -> None:
    """Raises `DeeplabError` where writing the folder `path` would replace what is not `ours`.

    An empty folder may be replaced, since nothing is lost.
    """

    def replaceable(found: os.stat_result) -> bool:
        if not stat.S_ISDIR(found.st_mode):
            raise DeeplabError(f"{path} is a file and would be a folder; give another folder")
        return not any(path.iterdir()) or ours(path)

    _check(path, replaceable, folder=True)


def _check(path: pathlib.Path, replaceable: Callable[[os.stat_result], bool], folder: bool) -> None:
    """Looks again where another process replaced or removed `path` during the look."""
    check_writable(path)
    before_writing(path, folder)
    while (found := _stat(path)) is not None:
        with contextlib.suppress(FileNotFoundError):
            if replaceable(found):
                return
        now = _stat(path)
        if now and (now.st_ino, now.st_ctime_ns) == (found.st_ino, found.st_ctime_ns):
            raise _stranger(path, "folder" if stat.S_ISDIR(found.st_mode) else "file")


def _stat(path: pathlib.Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _stranger(path: pathlib.Path, kind: str) -> DeeplabError:
    return DeeplabError(
        f"{path} would be replaced, and its content is not what deeplab_tf writes there; move the "
        f"{kind} away, or write elsewhere"
    )


def never(_path: pathlib.Path) -> bool:
    """Recognises nothing: what exists stays."""
    return False


def own_folder(_path: pathlib.Path) -> bool:
    """Recognises everything, for files in a temporary folder that this process made."""
    return True


def json_with(*keys: str) -> Ours:
    """Recognises a file of one JSON object that has all `keys`."""

    def ours(path: pathlib.Path) -> bool:
        try:
            content = json.loads(path.read_bytes())
        except (ValueError, OSError):
            return False
        return isinstance(content, dict) and content.keys() >= set(keys)

    return ours


def containing(*parts: bytes) -> Ours:
    """Recognises a file that contains all `parts`."""

    def ours(path: pathlib.Path) -> bool:
        try:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as m:
                return all(m.find(part) >= 0 for part in parts)
        except (ValueError, OSError):  # ValueError: an empty file cannot be mapped
            return False

    return ours


def zip_with(member: str) -> Ours:
    """Recognises a zip archive, or a file that ends in one, that has `member`."""

    def ours(path: pathlib.Path) -> bool:
        try:
            with zipfile.ZipFile(path) as archive:
                return member in archive.namelist()
        except (zipfile.BadZipFile, OSError):
            return False

    return ours


def folder_of(*patterns: str, known: dict[str, Ours]) -> Ours:
    """Recognises a folder by one of its files, where every entry has a name that we write.

    Args:
        patterns: names with wildcards that entries of the folder may have.
        known: recognisers by path inside the folder; each must be there and be recognised.
    """

    def ours(path: pathlib.Path) -> bool:
        # A copy of a store's folder that another program made has its mark too.
        names = [entry.name for entry in path.iterdir() if entry.name != WHOLE]
        return all(any(fnmatch.fnmatchcase(n, p) for p in patterns) for n in names) and all(
            (path / name).exists() and recognised(path / name) for name, recognised in known.items()
        )

    return ours


def any_of(*recognisers: Ours) -> Ours:
    """Recognises what one of the `recognisers` does."""

    def ours(path: pathlib.Path) -> bool:
        return any(recognised(path) for recognised in recognisers)

    return ours


def beside(name: str, recognised: Ours) -> Ours:
    """Recognises a file without a mark of its own by the file `name` in the same folder."""

    def ours(path: pathlib.Path) -> bool:
        other = path.with_name(name)
        before_writing(other)
        return other.is_file() and recognised(other)

    return ours
