"""Our network beside torchvision's on an accelerator, in turns in one run: `make bench-gpu`.

    KERAS_BACKEND=jax python tests/benchmarks/bench_gpu.py --out=bench_gpu.json
    KERAS_BACKEND=jax python tests/benchmarks/bench_gpu.py --device=cpu --backbone=resnet50 \\
        --size=65 --batch=2 --rounds=2 --calls=1

Training images/s in bfloat16 and the latency of one image in float32 (with TF32, both frameworks'
default) and bfloat16, images on the device. The backend is what KERAS_BACKEND names, `jax` or
`tensorflow`; torchvision runs eager, channels_last and compiled. Beside each time stands the share
of the machine's matrix-multiply peak in that precision, measured in the same turns.
"""

import json
import os
import pathlib
import subprocess

import torch  # before TensorFlow: its triton crashes when it loads after
from absl import app, flags

OUT = flags.DEFINE_string("out", "bench_gpu.json", "where the figures go")
DEVICE = flags.DEFINE_enum("device", "cuda", ["cuda", "cpu"], "torch's name of the device")
BACKBONE = flags.DEFINE_string("backbone", "resnet101", "resnet50 or resnet101")
SIZE = flags.DEFINE_integer("size", 513, "side of the images in pixels", lower_bound=1)
BATCH = flags.DEFINE_integer("batch", 16, "images of a training step", lower_bound=1)
OUTPUT_STRIDE = flags.DEFINE_integer("output_stride", 16, "8, 16 or 32")
ROUNDS = flags.DEFINE_integer("rounds", 7, "turns of each way, after one to warm up")
CALLS = flags.DEFINE_integer("calls", 10, "steps or passes a turn", lower_bound=1)
PROFILE = flags.DEFINE_string("profile", None, "where to write which kernels took how long")
WORKS = flags.DEFINE_list("works", ["train", "bfloat16", "float32"], "which of the three to run")


def main(_) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Two frameworks share the device's memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    if DEVICE.value == "cuda":
        # One image is over before its 300 kernels are launched one by one: XLA then puts them, the
        # convolutions too, into one CUDA graph, as torch's reduce-overhead does.
        os.environ.setdefault(
            "XLA_FLAGS",
            "--xla_gpu_enable_command_buffer=+CONVOLUTION --xla_gpu_graph_min_graph_size=1",
        )
    import keras
    from suite.machine import processor, versions
    from suite.report import format_groups
    from suite.work import Work

    from deeplab_tf.config import Backbone

    torch.backends.cuda.matmul.allow_tf32 = True
    common = {
        "output_stride": OUTPUT_STRIDE.value,
        "size": SIZE.value,
        "backbone": Backbone(BACKBONE.value),
    }
    works = {
        "train": Work(training=True, batch=BATCH.value, bfloat16=True, **common),
        "bfloat16": Work(bfloat16=True, **common),
        "float32": Work(**common),
    }
    groups = []
    result = {
        "machine": f"{_accelerator()}; {processor()}",
        "backend": keras.backend.backend(),
        "versions": versions(),
        "groups": groups,
    }
    for name in WORKS.value:
        group = _measure(works[name])
        groups.append(group.to_dict())
        print(format_groups([group.to_dict()]), flush=True)
        pathlib.Path(OUT.value).write_text(json.dumps(result, indent=1) + "\n")


def _measure(work):
    import keras
    from suite import torchvision_ways
    from suite.turns import Group, in_turns

    if keras.backend.backend() == "jax":
        from suite.ours_jax import make_way
    else:
        from suite.ours_tensorflow import make_way
    # A single pass is short: more of them a turn.
    calls = CALLS.value if work.training else 5 * CALLS.value
    ours, model = make_way(work, calls)
    ways = {f"deeplab_tf, {keras.backend.backend()}": ours}
    ways |= torchvision_ways.make_ways(work, DEVICE.value, calls)
    seconds, failures = in_turns(
        {**ways, "": _matrix_product(work.bfloat16)}, ROUNDS.value, warm_up=2
    )
    if PROFILE.value:
        _profile(str(work), ways)
    peak = MATRIX_PRODUCTS * 2 * _side() ** 3 / min(seconds.pop(""))
    per_call = {way: [s / calls for s in times] for way, times in seconds.items()}
    flops = dict.fromkeys(per_call, work.flops(model))
    return Group(str(work), per_call, work.batch, flops, peak, failures)


MATRIX_PRODUCTS = 20


def _profile(title: str, ways: dict) -> None:
    """Appends the kernels of one turn of each way: torch sees those of every framework."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if DEVICE.value == "cuda":
        activities = [torch.profiler.ProfilerActivity.CUDA]
    with open(PROFILE.value, "a", encoding="utf-8") as file:
        for name, way in ways.items():
            with torch.profiler.profile(activities=activities) as profiler:
                way()
            table = profiler.key_averages().table(
                sort_by=f"self_{DEVICE.value}_time_total", row_limit=30, max_name_column_width=120
            )
            file.write(f"{title}: {name}\n{table}\n")


def _side() -> int:
    return 8192 if DEVICE.value == "cuda" else 1024


def _matrix_product(bfloat16: bool):
    dtype = torch.bfloat16 if bfloat16 else torch.float32
    a, b = (torch.randn(_side(), _side(), device=DEVICE.value).to(dtype) for _ in range(2))

    def run() -> None:
        for _ in range(MATRIX_PRODUCTS):
            torch.matmul(a, b)
        if DEVICE.value == "cuda":
            torch.cuda.synchronize()

    return run


def _accelerator() -> str:
    if DEVICE.value == "cpu":
        return "no accelerator"
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    app.run(main)
