"""The memory that this process can have, by the system and by the limits of its container.

Tested in tests/test_memory.py.
"""

import contextlib
import pathlib
from collections.abc import Iterator

import psutil

CGROUPS = pathlib.Path("/sys/fs/cgroup")
OWN_CGROUP = pathlib.Path("/proc/self/cgroup")


def usable_memory() -> int:
    """Returns the bytes that this process can hold in all, with those that it holds already.

    More are what the system has free or can free at once, or less where a Linux control group, as
    containers and batch systems have it, allows less.
    """
    more = min([psutil.virtual_memory().available, *_left_in_cgroups()])
    return psutil.Process().memory_info().rss + max(0, more)


def _left_in_cgroups() -> Iterator[int]:
    """Yields the bytes that each control group of this process leaves, its parents' too."""
    for folder, (limit, usage, cached) in _groups():
        values = [_number(folder / name) for name in (limit, usage)]
        if values[0] is not None and values[1] is not None:
            yield values[0] - values[1] + _cache(folder / "memory.stat", cached)


def _groups() -> Iterator[tuple[pathlib.Path, tuple[str, str, str]]]:
    """Yields folder, names of the files of limit and usage, and the cache's entry, of each group.

    A container may see the numbers of its own group at the root, whatever its path says.
    """
    for line in _text(OWN_CGROUP).splitlines():
        _, kinds, path = line.split(":", 2)
        if not kinds:
            root, files = CGROUPS, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in kinds.split(","):
            root = CGROUPS / "memory"
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        parts = pathlib.PurePosixPath(path).parts[1:]
        for depth in range(len(parts), -1, -1):
            yield root.joinpath(*parts[:depth]), files


def _number(path: pathlib.Path) -> int | None:
    """Returns the number in the file `path`; None where there is none, as in `max`."""
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _cache(path: pathlib.Path, name: str) -> int:
    """Returns the bytes of files that the group holds and the system takes back when needed."""
    found = dict(line.split() for line in _text(path).splitlines() if len(line.split()) == 2)
    return int(found.get(name, 0))


def _text(path: pathlib.Path) -> str:
    """Returns the text of a file; none where there is no such file or it may not be read."""
    with contextlib.suppress(OSError):
        return path.read_text()
    return ""
