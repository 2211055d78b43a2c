"""The memory that a process can have, under hand-made control groups."""

import pathlib
import types

import psutil
import pytest

from deeplab_tf.machine import memory

GB = 10**9


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """A function that writes the files of control groups and says which is this process'.

    The system has 20 GB to give, and this process holds 1.
    """
    process = types.SimpleNamespace(memory_info=lambda: types.SimpleNamespace(rss=GB))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: types.SimpleNamespace(available=20 * GB))
    monkeypatch.setattr(psutil, "Process", lambda: process)
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "OWN_CGROUP", tmp_path / "own")

    def write(own: str, files: dict[str, str]):
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


def test_without_a_limit_the_process_has_what_the_system_can_free(groups):
    groups("0::/\n", {"memory.max": "max\n", "memory.current": "5\n"})
    assert memory.usable_memory() == 21 * GB


def test_the_tightest_of_a_group_and_its_parents_counts_without_cached_files(groups):
    groups(
        "0::/job/step\n",
        {
            "job/step/memory.max": str(8 * GB),
            "job/step/memory.current": str(3 * GB),
            "job/step/memory.stat": f"anon 1\ninactive_file {2 * GB}\n",
            "job/memory.max": str(9 * GB),
            "job/memory.current": str(4 * GB),
        },
    )
    assert memory.usable_memory() == 1 * GB + 5 * GB  # the parent's 9 - 4, below the own 8 - 3 + 2


def test_groups_of_the_first_version(groups):
    groups(
        "5:cpu:/a\n4:memory:/a\n0::/\n",
        {
            "memory/a/memory.limit_in_bytes": str(6 * GB),
            "memory/a/memory.usage_in_bytes": str(2 * GB),
            "memory/a/memory.stat": "total_inactive_file 1000000000\n",
            "memory/memory.limit_in_bytes": str(2**63 - 4096),
            "memory/memory.usage_in_bytes": "1",
        },
    )
    assert memory.usable_memory() == 1 * GB + 5 * GB


def test_a_container_sees_its_own_group_at_the_root(groups):
    groups("0::/docker/0123\n", {"memory.max": str(2 * GB), "memory.current": str(GB)})
    assert memory.usable_memory() == 1 * GB + 1 * GB


def test_a_group_that_is_full_leaves_what_the_process_holds(groups):
    groups("0::/\n", {"memory.max": str(GB), "memory.current": str(2 * GB)})
    assert memory.usable_memory() == GB


def test_this_process_holds_something_and_can_have_more():
    own = psutil.Process().memory_info().rss
    assert own < memory.usable_memory() <= psutil.virtual_memory().total + own


def test_a_file_that_may_not_be_read_says_nothing(groups, monkeypatch):
    groups("0::/\n", {"memory.max": str(8 * GB), "memory.current": str(GB)})
    read = pathlib.Path.read_text

    def read_text(path, *args):
        if path.name == "memory.current":
            raise PermissionError(f"{path} may not be read")
        return read(path, *args)

    monkeypatch.setattr(pathlib.Path, "read_text", read_text)
    assert memory.usable_memory() == 21 * GB
    monkeypatch.setattr(memory, "OWN_CGROUP", pathlib.Path("/"))  # a folder
    assert memory.usable_memory() == 21 * GB
