"""What one system tells or does otherwise than another: here alone is it asked which one this is.

Linux is what the tests run on; the ways of macOS and Windows are tried there with stand-ins.
"""

import contextlib
import os
import pathlib
import platform
import subprocess
import sys
from collections.abc import Iterator

import numpy as np

CPUINFO = pathlib.Path("/proc/cpuinfo")
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


def processor_name() -> str:
    """Names the processor as the system does; Linux on Arm has numbers for each kind of core."""
    if sys.platform == "darwin":
        # platform.processor() calls all of Apple's "arm".
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.strip()
    told = _cpuinfo()
    if "CPU part" in told:
        kinds = dict.fromkeys(zip(told["CPU implementer"], told["CPU part"], strict=True))
        return " and ".join(f"implementer {maker} part {part}" for maker, part in kinds)
    return told.get("model name", [platform.processor()])[0]


def processor_features() -> set[str]:
    """What it can do, in Linux's words; elsewhere nothing is known."""
    told = _cpuinfo()
    return set(" ".join(told.get("flags", []) + told.get("Features", [])).split())


def is_x86() -> bool:
    """Whether the processor is a 64-bit Intel or AMD."""
    return platform.machine().lower() in ("x86_64", "amd64")


def has_avx512() -> bool:
    """Whether the processor has AVX-512 as servers have had it since 2017 (F, BW, DQ and VL)."""
    sets = np.show_config(mode="dicts")["SIMD Extensions"]
    # The second name is numpy's from 2.4 on.
    return bool({"AVX512_SKX", "X86_V4"} & {*sets.get("baseline", ()), *sets.get("found", ())})


def onednn_has_avx512() -> bool:
    """Whether oneDNN may use it too: ONEDNN_MAX_CPU_ISA can keep it to less."""
    most = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    kept_to_less = most.startswith(("SSE", "AVX")) and not most.startswith(("AVX512", "AVX10"))
    return has_avx512() and not kept_to_less


def choose_onednn(trains: bool) -> None:
    """Sets TF_ENABLE_ONEDNN_OPTS to what is faster here; must run before TensorFlow is imported.

    oneDNN is faster wherever it trains, and for inference with AVX-512 alone: its AVX2 kernels take
    a variable's weights as they lie, and TensorFlow's own are ahead. TensorFlow by itself leaves it
    off on processors without instructions for neural networks. What the user has set stays; so it
    does where TensorFlow is imported already, or the processor is not x86, for which nothing was
    measured.
    """
    if "tensorflow" in sys.modules or not is_x86():
        return
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", str(int(trains or onednn_has_avx512())))


def _cpuinfo() -> dict[str, list[str]]:
    """The values of each field, one a core; nothing where the system is not Linux."""
    told: dict[str, list[str]] = {}
    if CPUINFO.is_file():
        for line in CPUINFO.read_text().splitlines():
            name, colon, value = line.partition(":")
            if colon:
                told.setdefault(name.strip(), []).append(" ".join(value.split()))
    return told
