"""The memory that a process can have on its GPUs, with a stand-in for nvidia-smi."""

import os

import pytest

from deeplab_tf.machine.gpu_memory import free_gpu_memory

GIB = 1 << 30
SMALL, FIRST, SECOND = "GPU-5a", "GPU-1b", "GPU-1c"
CARDS = [(SMALL, 2, 2), (FIRST, 40, 30), (SECOND, 40, 8)]  # GiB of each, and free


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """A function that makes nvidia-smi answer for `CARDS`, with processes (uuid, pid, MiB)."""
    program = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)

    def answer(*processes, mig="Disabled"):
        cards = [f"{uuid}, {mig}, {a * 1024}, {b * 1024}" for uuid, a, b in CARDS]
        held = [", ".join(map(str, process)) for process in processes]
        answers = ["\n".join(lines) for lines in (cards, held)]
        query = "--query-gpu=uuid,mig.mode.current,memory.total,memory.free"
        program.write_text(
            f'#!/bin/sh\nif [ "$1" = {query} ]; then echo "{answers[0]}"\n'
            f'elif [ "$1" = --query-compute-apps=gpu_uuid,pid,used_memory ]; then '
            f'echo "{answers[1]}"\nelse exit 1; fi\n'
        )
        program.chmod(0o755)

    return answer


def test_only_the_gpus_that_are_used_count(driver):
    driver()
    # CUDA counts the fastest first, so the small card, which is the driver's first, is its last.
    assert free_gpu_memory({0: False}) == 30 * GIB
    assert free_gpu_memory({0: False, 1: False}) == 8 * GIB
    assert free_gpu_memory({2: False}) == 2 * GIB
    assert free_gpu_memory({3: False}) is None


@pytest.mark.parametrize(
    ("visible", "order", "free"),
    [
        ("1", None, 8),
        ("1,0", None, 8),
        (" 0 , 1", None, 30),
        ("0", "PCI_BUS_ID", 2),
        ("2", "PCI_BUS_ID", 8),
        (SECOND, None, 8),
        ("GPU-5", None, 2),
        ("GPU-1", None, None),  # two begin so
        ("-1,0", None, None),
        ("", None, None),
        ("MIG-7", None, None),
    ],
)
def test_the_first_gpu_is_the_first_that_is_visible(driver, monkeypatch, visible, order, free):
    driver()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    if order:
        monkeypatch.setenv("CUDA_DEVICE_ORDER", order)
    assert free_gpu_memory({0: False}) == (free and free * GIB)


def test_what_this_process_holds_already_counts_as_its_own(driver):
    # Of the second card's 40 GiB, 32 are held: by this process, by another, or by both.
    own, other = os.getpid(), os.getpid() + 1
    driver((SECOND, own, 32 * 1024), (FIRST, own, 512))
    assert free_gpu_memory({1: True}) == 40 * GIB
    driver((SECOND, own, 20 * 1024), (SECOND, other, 12 * 1024))
    assert free_gpu_memory({1: True}) == 28 * GIB
    driver((SECOND, other, 32 * 1024))
    assert free_gpu_memory({1: False}) == 8 * GIB


def test_a_container_that_hides_the_processes_leaves_a_used_gpu_to_this_one(driver):
    driver()
    assert free_gpu_memory({1: True}) == 40 * GIB
    driver((SECOND, os.getpid() + 1, 12 * 1024), (SECOND, os.getpid(), "[N/A]"))
    assert free_gpu_memory({1: True}) == 28 * GIB


def test_nothing_is_known_of_a_divided_gpu_and_without_a_driver(driver, monkeypatch, tmp_path):
    driver(mig="Enabled")
    assert free_gpu_memory({0: False}) is None
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho GPU-5a, [N/A], [N/A], [N/A]\n")
    assert free_gpu_memory({0: False}) is None
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert free_gpu_memory({0: False}) is None
