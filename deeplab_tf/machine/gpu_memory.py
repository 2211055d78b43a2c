"""The memory that this process can have on its GPUs, by NVIDIA's driver.

Tested in tests/test_gpu_memory.py.
"""

import dataclasses
import os
import subprocess
from collections.abc import Mapping

GPUS = "--query-gpu=uuid,mig.mode.current,memory.total,memory.free"
PROCESSES = "--query-compute-apps=gpu_uuid,pid,used_memory"
MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class _Gpu:
    """A GPU as nvidia-smi describes it; `total` and `free` are bytes."""

    uuid: str
    divided: bool
    total: int
    free: int


def free_gpu_memory(devices: Mapping[int, bool]) -> int | None:
    """Returns the bytes that this process can have on the one of `devices` that gives the least.

    What other processes hold is not counted, and what this process holds already is: TensorFlow
    takes nearly all of a GPU at its first operation there and keeps it. A container may hide which
    process holds what; there, a GPU that this process uses counts as all its own.

    Args:
        devices: by a GPU's number among those that CUDA_VISIBLE_DEVICES leaves, whether this
            process holds memory of it.

    Returns:
        None where no driver says it, or a GPU is one part of a divided one (MIG).
    """
    try:
        gpus = _visible(
            [
                _Gpu(uuid, mig == "Enabled", int(total) * MIB, int(free) * MIB)
                for uuid, mig, total, free in _ask(GPUS)
            ]
        )
        processes = _ask(PROCESSES)
        return min(_left(gpus[number], processes, held) for number, held in devices.items())
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return None


def _ask(query: str) -> list[list[str]]:
    """Returns the fields of each line of nvidia-smi's answer; memory is in MiB."""
    command = ("nvidia-smi", query, "--format=csv,noheader,nounits")
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    return [line.split(", ") for line in done.stdout.splitlines() if line.strip()]


def _visible(gpus: list[_Gpu]) -> list[_Gpu]:
    """Returns those of all `gpus` that CUDA shows to this process, in CUDA's order.

    CUDA counts the fastest first, here those with most memory, unless CUDA_DEVICE_ORDER says
    otherwise. It takes CUDA_VISIBLE_DEVICES up to the first name that is none.
    """
    if os.environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        gpus = sorted(gpus, key=lambda gpu: -gpu.total)
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    if names is None:
        return gpus
    found = []
    for name in map(str.strip, names.split(",")):
        if name.isdigit():
            meant = gpus[int(name) : int(name) + 1]
        else:
            meant = [gpu for gpu in gpus if name and gpu.uuid.startswith(name)]
        if len(meant) != 1:
            break
        found += meant
    return found


def _left(gpu: _Gpu, processes: list[list[str]], held: bool) -> int:
    """Returns the bytes of `gpu` that this process can have, with those that it has.

    Raises:
        ValueError: the GPU is divided.
    """
    if gpu.divided:
        raise ValueError(f"{gpu.uuid} is divided")
    there = {pid: used for uuid, pid, used in processes if uuid == gpu.uuid and used.isdigit()}
    own = there.pop(str(os.getpid()), None)
    if own is not None or not held:
        return gpu.free + int(own or 0) * MIB
    return gpu.total - sum(map(int, there.values())) * MIB
