"""The environment that a run's numbers depend on: kept in the workdir and compared later.

On a CPU the same experiment and records give the same weights bit for bit in the same environment.
Measured on 12 steps of a small ResNet: the number of intra-op threads counts (it decides in which
parts TensorFlow adds up), as do oneDNN on or off and its instruction set; the number of cores
behind those threads, inter-op threads and other programs do not.
"""

import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
from collections.abc import Mapping

import tensorflow as tf

from deeplab_tf.config import training_differences
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.files import json_text, write_text
from deeplab_tf.machine.processor import processor_features, processor_model, processor_name
from deeplab_tf.machine.sources import sources
from deeplab_tf.machine.system import usable_cores
from deeplab_tf.models.kernels import onednn_in_use
from deeplab_tf.runs.workdir import (
    CLASS_WEIGHTS_FILE,
    ENVIRONMENT_FILE,
    WORKDIR_FILES,
    read_data,
    read_experiment,
)

PACKAGES = ("tensorflow", "keras", "numpy", "tensorflow-datasets", "pillow")
VARIABLES = (
    "ONEDNN_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "NVIDIA_TF32_OVERRIDE",
    "TF_XLA_FLAGS",
    "XLA_FLAGS",
)
"""Environment variables that choose other kernels."""
INSTRUCTIONS = (
    *("sse4_1", "avx", "avx2", "fma", "avx_vnni"),
    *("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_int8", "amx_bf16", "amx_fp16"),
    *("asimd", "asimdhp", "asimddp", "bf16", "i8mm"),
    *("sve", "sve2", "svebf16", "svei8mm", "sme", "sme2"),
)
"""The instruction sets by which oneDNN and TensorFlow choose kernels: x86's, then Arm's."""
THREADS = "intra-op threads"
PROCESSOR = "processor"


def environment() -> dict[str, str]:
    """Returns this process' packages, code, processor and settings, as text by name."""
    values = {"python": platform.python_version()}
    values |= {name: importlib.metadata.version(name) for name in PACKAGES}
    values["deeplab_tf"] = f"{importlib.metadata.version('deeplab_tf')}, sources {sources()}"
    values["platform"] = f"{platform.system()} {platform.machine()}"
    values[PROCESSOR] = processor_name()
    values["processor model"] = processor_model()
    features = processor_features()
    values["instruction sets"] = " ".join(name for name in INSTRUCTIONS if name in features)
    values["onednn"] = "true" if onednn_in_use() else "false"
    values[THREADS] = str(_intra_op_threads())
    values["GPUs"] = ", ".join(
        tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
        for gpu in tf.config.list_physical_devices("GPU")
    )
    return values | {name: os.environ[name] for name in VARIABLES if name in os.environ}


def _intra_op_threads() -> int:
    """Returns TensorFlow's number of threads: as set, or one a core that this process may use."""
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    variable = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    return threads or (int(variable) if variable.isdigit() else 0) or usable_cores()


def record_environment(workdir: pathlib.Path, start: int, init_from: str | None) -> list[str]:
    """Records in `ENVIRONMENT_FILE` that the run is in this environment from step `start` on.

    The file is `{"init_from": sha256 of that file or null, "from": {step: environment}}`; a step is
    added where the run goes on in another environment than before.

    Returns:
        The differences from the environment before, in words; an empty list at step 0.
    """
    now = environment()
    if start:
        init_from_digest, before = _read(workdir)
        before = {step: values for step, values in before.items() if step < start}
    else:
        init_from_digest, before = _digest(init_from), {}
    last = before[max(before)] if before else {}
    if now != last:
        before[start] = now
    content = {"init_from": init_from_digest, "from": before}
    text = json_text(content)
    write_text(workdir / ENVIRONMENT_FILE, text, WORKDIR_FILES[ENVIRONMENT_FILE])
    return differences(last, now) if last else []


def _digest(file: str | None) -> str | None:
    if file is None:
        return None
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _read(workdir: pathlib.Path) -> tuple[str | None, dict[int, dict[str, str]]]:
    """Reads what `record_environment` wrote; returns (None, {}) where the file does not exist."""
    path = workdir / ENVIRONMENT_FILE
    if not path.is_file():
        return None, {}
    try:
        content = json.loads(path.read_text())
        return content["init_from"], {int(s): dict(v) for s, v in content["from"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DeeplabError(
            f"{path} is damaged ({one_line(str(error))}); remove the file to go on without its "
            "record"
        ) from error


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Lists `NAME VALUE (before VALUE)` for each value that is not the same.

    A name that only one environment has, since another version of this code wrote it, does not
    count as a difference. An environment variable that is absent counts as not set.
    """
    changed = []
    for name in dict.fromkeys([*now, *before]):
        old, new = before.get(name, ""), now.get(name, "")
        comparable = name in VARIABLES or (name in before and name in now)
        if comparable and old != new:
            mend = f"; TF_NUM_INTRAOP_THREADS={old} sets {old}" if name == THREADS and old else ""
            changed.append(f"{name} {new or 'none'} (before {old or 'none'}{mend})")
    return changed


def repeat_differences(before: pathlib.Path, now: pathlib.Path) -> list[str]:
    """Lists in words how the run that begins in the workdir `now` differs from that in `before`.

    An empty list means the same weights, bit for bit, on a CPU. Both workdirs must have their
    config and data files already, and `now` its environment file too.
    """
    found = [
        f"{name}={new} (before {old})"
        for name, old, new in training_differences(read_experiment(before), read_experiment(now))
    ]
    if read_data(before) != read_data(now):
        found.append("the data set has other images, masks or classes")
    if _text(before / CLASS_WEIGHTS_FILE) != _text(now / CLASS_WEIGHTS_FILE):
        found.append("the class weights differ")
    (weights_before, environments_before), (weights_now, environments_now) = (
        _read(before),
        _read(now),
    )
    if not environments_before:
        return [*found, f"{before} has no {ENVIRONMENT_FILE}, so its versions are unknown"]
    if weights_before != weights_now:
        found.append(f"{read_experiment(now).init_from} has another content now")
    here = environments_now[max(environments_now)]
    if not here[PROCESSOR]:
        found.append("the system does not name the processor, so it may be another one")
    if len(environments_before) > 1:
        steps = ", ".join(map(str, sorted(environments_before)))
        found.append(f"{before} was trained in several environments, from steps {steps}")
    return found + differences(environments_before[max(environments_before)], here)


def _text(path: pathlib.Path) -> str | None:
    return path.read_text() if path.is_file() else None
