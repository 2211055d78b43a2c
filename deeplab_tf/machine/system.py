"""Cores, processes, locks, disks and memory, which each operating system gives in another way.

The tests run on Linux, where stand-ins replace the functions of macOS and Windows.

Tested in tests/test_machine.py.
"""

import contextlib
import errno
import functools
import hashlib
import os
import pathlib
import platform
import sys
from collections.abc import Iterator

STATUS = pathlib.Path("/proc/self/status")

_UNSUPPORTED = {
    getattr(errno, name) for name in ("ENOTSUP", "EOPNOTSUPP", "ENOSYS") if hasattr(errno, name)
}
_NO_LOCKS = _UNSUPPORTED | {errno.ENOLCK}
_NO_FLUSH = _UNSUPPORTED | {errno.EINVAL}

MOST_PROCESSES = 61 if sys.platform == "win32" else sys.maxsize
"""The most processes in a pool: Windows waits for no more than 61 at a time."""


def usable_cores() -> int:
    """Returns how many cores this process may use, or all where the system does not say."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def process_space() -> str:
    """Returns 8 hex digits for the host, and on Linux its container, whose numbers processes have.

    Equal digits mean that a process number means the same process here and there.
    """
    try:
        container = os.readlink("/proc/self/ns/pid")
    except OSError:  # only Linux has it
        container = ""
    return hashlib.sha256(f"{platform.node()} {container}".encode()).hexdigest()[:8]


def is_running(pid: int) -> bool | None:
    """Returns whether the process `pid` of this host runs, or None where the system cannot say."""
    if sys.platform == "win32":
        return None  # os.kill would end the process there
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True  # another user's process
    return True


def flush(path: pathlib.Path) -> None:
    """Returns when the content of the file or folder `path` is on the disk.

    Some network file systems cannot flush a folder, and neither can Windows; nothing is done there.
    """
    folder = path.is_dir()
    if sys.platform == "win32" and folder:
        return
    handle = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FLUSH:
            raise
    finally:
        os.close(handle)


class NoLocksError(OSError):
    """The file system has no locks."""


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[None]:
    """Holds `folder` against other processes until the block or this process ends.

    Raises:
        BlockingIOError: another process holds `folder`.
        NoLocksError: the file system has no locks.
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
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in _NO_LOCKS:
                    raise NoLocksError(*error.args) from error
                raise
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
