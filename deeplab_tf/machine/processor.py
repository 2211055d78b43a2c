"""The processor: its name, its instructions, and whether TensorFlow is faster with oneDNN on it.

Tested in tests/test_machine.py.
"""

import os
import pathlib
import platform
import subprocess
import sys

import numpy as np

CPUINFO = pathlib.Path("/proc/cpuinfo")


def processor_name() -> str:
    """Returns the system's name of the processor, on Arm Linux numbers for each kind of core."""
    if sys.platform == "darwin":
        # platform.processor() returns "arm" for every processor of Apple's, so sysctl is asked.
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.strip()
    cpuinfo = _cpuinfo()
    if "CPU part" in cpuinfo:
        kinds = dict.fromkeys(zip(cpuinfo["CPU implementer"], cpuinfo["CPU part"], strict=True))
        return " and ".join(f"implementer {maker} part {part}" for maker, part in kinds)
    return cpuinfo.get("model name", [platform.processor()])[0]


def processor_model() -> str:
    """Returns the numbers by which Linux tells processors of one name apart; empty elsewhere.

    A virtual machine may give only a family's name, and many machines have the same cores of Arm's.
    """
    fields = _cpuinfo()
    arm, x86 = ("CPU variant", "CPU revision"), ("cpu family", "model", "stepping")
    names = [name for name in (arm if "CPU part" in fields else x86) if name in fields]
    cores = zip(*(fields[name] for name in names), strict=False)
    words = [name.removeprefix("CPU ").removeprefix("cpu ") for name in names]
    kinds = [
        " ".join(f"{word} {value}" for word, value in zip(words, core, strict=True))
        for core in cores
    ]
    return " and ".join(dict.fromkeys(kinds))


def processor_features() -> set[str]:
    """Returns the processor's features by their names in Linux; an empty set on other systems."""
    cpuinfo = _cpuinfo()
    return set(" ".join(cpuinfo.get("flags", []) + cpuinfo.get("Features", [])).split())


def is_x86() -> bool:
    """Returns whether the processor is a 64-bit Intel or AMD."""
    return platform.machine().lower() in ("x86_64", "amd64")


def has_avx512() -> bool:
    """Returns whether the processor has AVX-512 as servers do since 2017 (F, BW, DQ and VL)."""
    sets = np.show_config(mode="dicts")["SIMD Extensions"]
    # X86_V4 is the name that numpy has from 2.4 on.
    return bool({"AVX512_SKX", "X86_V4"} & {*sets.get("baseline", ()), *sets.get("found", ())})


def onednn_has_avx512() -> bool:
    """Returns whether oneDNN may use the processor's AVX-512: ONEDNN_MAX_CPU_ISA can forbid it."""
    most = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    kept_to_less = most.startswith(("SSE", "AVX")) and not most.startswith(("AVX512", "AVX10"))
    return has_avx512() and not kept_to_less


def choose_onednn(trains: bool) -> None:
    """Sets TF_ENABLE_ONEDNN_OPTS to what is faster here; must run before TensorFlow is imported.

    oneDNN is faster in all training, and in inference only with AVX-512: its AVX2 kernels take a
    variable's weights in their plain layout and are slower than TensorFlow's own kernels.
    TensorFlow by itself leaves oneDNN off on processors without instructions for neural networks. A
    value that the user has set stays. Nothing is set where TensorFlow is imported already, or where
    the processor is not x86, for which nothing was measured.
    """
    if "tensorflow" in sys.modules or not is_x86():
        return
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", str(int(trains or onednn_has_avx512())))


def _cpuinfo() -> dict[str, list[str]]:
    """Returns the values of each field of /proc/cpuinfo, one a core; empty where not on Linux."""
    fields: dict[str, list[str]] = {}
    if CPUINFO.is_file():
        for line in CPUINFO.read_text().splitlines():
            name, colon, value = line.partition(":")
            if colon:
                fields.setdefault(name.strip(), []).append(" ".join(value.split()))
    return fields
