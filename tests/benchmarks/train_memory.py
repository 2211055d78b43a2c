"""Peak memory and time of a training step by the options of precision and memory.

    python tests/benchmarks/train_memory.py --backbone=resnet101 --side=257 --batch=8
    python tests/benchmarks/train_memory.py --config=configs/own.py:mobilenet_v2 --options=float32

Each option runs in a process of its own, whose peak (`VmHWM`) has its libraries in it: `at rest`
is that of a process with TensorFlow, network and optimiser, before the first step.
"""

import argparse
import dataclasses
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

OPTIONS = {
    "float32": {},
    "mixed_bfloat16": {"precision": "mixed_bfloat16"},
    "mixed_float16": {"precision": "mixed_float16"},
    "accumulate_steps=2": {"accumulate_steps": 2},
    "accumulate_steps=4": {"accumulate_steps": 4},
    "rematerialize": {"rematerialize": True},
    "ema_momentum": {"ema_momentum": 0.999},
    "bfloat16, rematerialize": {"precision": "mixed_bfloat16", "rematerialize": True},
    "accumulate 4, rematerialize": {"accumulate_steps": 4, "rematerialize": True},
}


@dataclasses.dataclass(frozen=True)
class MemoryUse:
    """Peaks in bytes before the first step and after the last; the median step in seconds, by the
    clock and of all cores, which other work on the machine disturbs less."""

    at_rest: int
    peak: int
    seconds: float
    cpu_seconds: float


def main() -> None:
    """Prints the table; with `--one` measures that option in this process."""
    arguments = parse()
    if arguments.one is not None:
        found = measure(arguments)
        print(*dataclasses.astuple(found))
        return
    options = arguments.options.split(";") if arguments.options else list(OPTIONS)
    print(
        f"{arguments.config or arguments.backbone}, {arguments.side}x{arguments.side}, "
        f"batch {arguments.batch}, batch norm {arguments.batch_norm}, {arguments.steps} steps"
    )
    print(
        f"{'option':<28} {'peak MB':>8} {'step MB':>8} {'of float32':>10} {'s a step':>9} "
        f"{'CPU s':>7} {'of float32':>10}"
    )
    first = None
    for option in options:
        found = in_own_process(option, sys.argv[1:])
        first = first or found
        step, of_first = found.peak - found.at_rest, first.peak - first.at_rest
        print(
            f"{option:<28} {found.peak / 1e6:>8.0f} {step / 1e6:>8.0f} {step / of_first:>10.2f} "
            f"{found.seconds:>9.2f} {found.cpu_seconds:>7.2f} "
            f"{found.cpu_seconds / first.cpu_seconds:>10.2f}",
            flush=True,
        )


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="resnet101")
    parser.add_argument("--config", help="take the network of this row instead of a backbone's")
    parser.add_argument("--output_stride", type=int, default=16)
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--side", type=int, default=257, help="of the square images")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3, help="timed, after one that is not")
    parser.add_argument("--batch_norm", default="sync", choices=["sync", "train", "frozen"])
    parser.add_argument("--options", help="some of the options, with ; between")
    parser.add_argument("--one", choices=OPTIONS, help=argparse.SUPPRESS)
    return parser.parse_args()


def in_own_process(option: str, arguments: Sequence[str]) -> MemoryUse:
    """`measure` of `option`, by the command line `arguments`, in a new process."""
    command = [sys.executable, __file__, *arguments, f"--one={option}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    at_rest, peak, seconds, cpu_seconds = done.stdout.split()[-4:]
    return MemoryUse(int(at_rest), int(peak), float(seconds), float(cpu_seconds))


def measure(arguments: argparse.Namespace) -> MemoryUse:
    """Takes the steps on one batch of noise."""
    import numpy as np
    import tensorflow as tf

    from deeplab_tf.config import (
        Experiment,
        ModelConfig,
        TrainConfig,
        load_experiment,
        validate,
    )
    from deeplab_tf.config.schema import MOBILENETS
    from deeplab_tf.machine.system import own_peak
    from deeplab_tf.models import build_model
    from deeplab_tf.models.conv import set_batch_norm_mode
    from deeplab_tf.models.precision import computing_in
    from deeplab_tf.training.optimizer import make_optimizer
    from deeplab_tf.training.step import make_train_step

    train = TrainConfig(
        batch_size=arguments.batch, batch_norm=arguments.batch_norm, **OPTIONS[arguments.one]
    )
    mobile = arguments.backbone in MOBILENETS
    model_config = ModelConfig(
        backbone=arguments.backbone,
        multi_grid=(1, 1, 1) if mobile else (1, 2, 4),
    )
    if arguments.config:
        model_config = load_experiment(arguments.config).model
    model_config = dataclasses.replace(
        model_config, num_classes=arguments.classes, output_stride=arguments.output_stride
    )
    experiment = validate(Experiment(model=model_config, train=train))
    train = experiment.train
    with computing_in(train.precision):
        network = build_model(experiment.model)
    set_batch_norm_mode(network, train.batch_norm, 1)
    optimizer = make_optimizer(train, network)
    step = make_train_step(network, optimizer, tf.distribute.get_strategy(), train)
    rng = np.random.default_rng(0)
    shape = (arguments.batch, arguments.side, arguments.side)
    image = tf.constant(rng.integers(0, 256, (*shape, 3)).astype(np.float32))
    mask = tf.constant(rng.integers(0, arguments.classes, shape).astype(np.uint8))
    at_rest = own_peak()
    seconds, cpu_seconds = [], []
    for _ in range(arguments.steps + 1):
        begun, cpu_begun = time.perf_counter(), time.process_time()
        float(step(image, mask)["loss"])
        seconds.append(time.perf_counter() - begun)
        cpu_seconds.append(time.process_time() - cpu_begun)
    # The first step traces and compiles.
    return MemoryUse(
        at_rest, own_peak(), statistics.median(seconds[1:]), statistics.median(cpu_seconds[1:])
    )


if __name__ == "__main__":
    main()
