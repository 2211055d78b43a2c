"""Cores, locks and memory, which each operating system gives in another way.

The tests run on Linux, where stand-ins replace the functions of macOS and Windows.

Tested in tests/test_machine.py.
"""

import contextlib
import os
import pathlib
import sys
from collections.abc import Iterator

STATUS = pathlib.Path("/proc/self/status")

MOST_PROCESSES = 61 if sys.platform == "win32" else sys.maxsize
"""The most processes in a pool: Windows waits for no more than 61 at a time."""


def usable_cores() -> int:
    """Returns how many cores this process may use, or all where the system does not say."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[None]:
    """Holds `folder` against other processes until the block or this process ends.

    Raises:
        BlockingIOError: another process holds `folder`.
    """
    if sys.platform == "win32":
        import msvcrt

        # Windows cannot open a folder, so a file beside the folder is locked in its place.
        lock = folder.resolve()
        lock = lock.with_name(f".held-{lock.name}")
        handle = os.open(lock, os.O_RDWR | os.O_CREAT)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            os.close(handle)
            raise BlockingIOError(*error.args) from error
        try:
            yield
        finally:
            os.close(handle)
            with contextlib.suppress(OSError):  # Windows deletes no file that a process has open
                lock.unlink()
    else:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        finally:
            os.close(handle)


def own_peak() -> int | None:
    """Returns the most bytes that this process ever held, or None where the system does not say."""
    if not STATUS.is_file():
        return None
    # The peak of getrusage begins with that of the process that started this one, so VmHWM is read.
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
