"""Temporary files and folders, each of one process, and the removal of what a killed process left.

A temporary name is `.writing-PLACE-PID-NUMBER` with the suffix of the name that it stands for.
PLACE stands for the host and its process numbers, so two processes never share a name, and the next
process that writes into the folder knows which names belong to processes that have ended.

Tested in tests/test_files.py.
"""

import contextlib
import functools
import itertools
import os
import pathlib
import re
import shutil
import time
from collections.abc import Iterator

from deeplab_tf.files.store import check_path
from deeplab_tf.machine.system import is_running, process_space

LONGEST_SUFFIX = 16
"""The longest suffix in bytes that a temporary name keeps; a longer one names no file format."""
UNSEEN_SECONDS = 7 * 24 * 3600
"""The age after which a leftover goes whose process cannot be asked for, as on another host."""

_NAME = re.compile(r"\.writing-([0-9a-f]{8})-(\d+)-\d+(\..*)?")
_numbers = itertools.count()


def temporary_path(path: pathlib.Path, folder: pathlib.Path | None = None) -> pathlib.Path:
    """Returns a new path to write what becomes `path`, in `folder` or else in the folder of `path`.

    Pillow and others take the format from the suffix, which is that of `path`.
    """
    suffix = path.suffix if len(os.fsencode(path.suffix)) <= LONGEST_SUFFIX else ""
    name = f".writing-{process_space()}-{os.getpid()}-{next(_numbers)}{suffix}"
    return (folder or path.parent) / name


def is_temporary(path: pathlib.Path) -> bool:
    """Returns whether `path` has the name of a temporary file or folder of this package."""
    return _NAME.fullmatch(path.name) is not None


def remove_leftovers(folder: pathlib.Path) -> None:
    """Removes from `folder` the temporary files and folders of processes that have ended."""
    with os.scandir(folder) as entries:
        left = [pathlib.Path(entry.path) for entry in entries if _is_left(entry)]
    for path in left:
        remove(path)


@functools.lru_cache(maxsize=256)
def remove_leftovers_once(folder: pathlib.Path) -> None:
    """Does what `remove_leftovers` does at the first call for `folder` in a process.

    A folder that gets a million files is thus listed once.
    """
    remove_leftovers(folder)


def _is_left(entry: os.DirEntry[str]) -> bool:
    match = _NAME.fullmatch(entry.name)
    if not match:
        return False
    running = is_running(int(match[2])) if match[1] == process_space() else None
    if running is not None:
        return not running
    try:
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > UNSEEN_SECONDS
    except FileNotFoundError:
        return False


def remove(path: pathlib.Path) -> None:
    """Removes the file or folder `path`; another process may have removed it before."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def made_folder(folder: pathlib.Path) -> Iterator[None]:
    """Makes `folder` and its parents; those made here that stay empty are removed at the end."""
    check_path(folder)
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for each in made:
            with contextlib.suppress(OSError):
                each.rmdir()  # fails, as it should, where something was written


@contextlib.contextmanager
def temporary_folder(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields an empty folder inside `folder`, which is removed at the end."""
    with made_folder(folder):
        remove_leftovers(folder)
        path = temporary_path(folder / "folder")
        path.mkdir()
        try:
            yield path
        finally:
            remove(path)
