"""The operating system: cores, locks and memory, which each system has in another way.

Linux is what the tests run on; the ways of macOS and Windows are tried there with stand-ins.
"""

import contextlib
import os
import pathlib
import sys
from collections.abc import Iterator

STATUS = pathlib.Path("/proc/self/status")

MOST_PROCESSES = 61 if sys.platform == "win32" else sys.maxsize
"""Windows waits for no more of them at a time."""


def usable_cores() -> int:
    """How many this process may use; where the system does not tell, all that there are."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[None]:
    """Holds `folder` against other processes until the block or this process ends.

    Raises:
        BlockingIOError: another process holds it.
    """
    if sys.platform == "win32":
        import msvcrt

        # A folder cannot be opened there: a file beside it is locked in its place.
        beside = folder.resolve()
        beside = beside.with_name(f".held-{beside.name}")
        handle = os.open(beside, os.O_RDWR | os.O_CREAT)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            os.close(handle)
            raise BlockingIOError(*error.args) from error
        try:
            yield
        finally:
            os.close(handle)
            with contextlib.suppress(OSError):  # stays while another process has it open
                beside.unlink()
    else:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        finally:
            os.close(handle)


def own_peak() -> int | None:
    """Bytes, the most that this process ever held; None where the system does not tell."""
    if not STATUS.is_file():
        return None
    # Not getrusage: its peak begins with that of the process which started this one.
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
