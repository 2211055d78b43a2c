"""The memory that this process can have, by the system and by the limits of its container.

Tested in tests/test_memory.py.
"""

import pathlib
import subprocess
from collections.abc import Iterator

import psutil

CGROUPS = pathlib.Path("/sys/fs/cgroup")
OWN_CGROUP = pathlib.Path("/proc/self/cgroup")
GPU_QUERY = ("nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits")


def usable_memory() -> int:
    """Returns the bytes that this process can hold in all, with those that it holds already.

    More are what the system has free or can free at once, or less where a Linux control group, as
    containers and batch systems have it, allows less.
    """
    more = min([psutil.virtual_memory().available, *_left_in_cgroups()])
    return psutil.Process().memory_info().rss + max(0, more)


def free_gpu_memory() -> int | None:
    """Returns the free bytes of the GPU with the least, or None where no driver says them."""
    try:
        done = subprocess.run(GPU_QUERY, capture_output=True, text=True, check=True, timeout=20)
        return min(int(line) for line in done.stdout.split()) << 20
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


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
    lines = OWN_CGROUP.read_text().splitlines() if OWN_CGROUP.is_file() else []
    for line in lines:
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
    text = path.read_text().strip() if path.is_file() else ""
    return int(text) if text.isdigit() else None


def _cache(path: pathlib.Path, name: str) -> int:
    """Returns the bytes of files that the group holds and the system takes back when needed."""
    lines = path.read_text().splitlines() if path.is_file() else []
    found = dict(line.split() for line in lines if len(line.split()) == 2)
    return int(found.get(name, 0))
