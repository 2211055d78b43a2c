"""Peak memory of a process that does one piece of work: `python -m suite.memory NAME`.

Its libraries are part of it; the system's own count (`VmHWM`), in bytes.
"""

import os
import subprocess
import sys
from collections.abc import Iterator

import torchvision  # noqa: F401  (before TensorFlow: its triton crashes when it loads after)
import train_memory

from .turns import Memory

SIZE = 257
BATCH = 4


def measure() -> Iterator[Memory]:
    """Yields the memory of a forward pass, of a training step, and of the step by each option."""
    found = {}
    for name in _pieces():
        command = [sys.executable, "-m", "suite.memory", name]
        here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        path = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, check=True
        )
        found[name] = int(done.stdout)
    yield Memory("peak memory of a process, its libraries included", found)

    # float16 has no kernels on most CPUs: ResNet-101 would take minutes.
    options = [option for option in train_memory.OPTIONS if option != "mixed_float16"]
    arguments = ["--backbone=resnet101", f"--side={SIZE}", f"--batch={2 * BATCH}", "--steps=1"]
    peaks = {option: train_memory.in_own_process(option, arguments).peak for option in options}
    yield Memory(f"peak memory of training steps {2 * BATCH}x{SIZE}x{SIZE} by option", peaks)


def _pieces() -> dict:
    from .work import Work

    inference = Work(size=2 * SIZE - 1)
    training = Work(training=True, size=SIZE, batch=BATCH)
    return {
        f"{side}, {work}": (side, work)
        for work in (inference, training)
        for side in ("deeplab_tf", "torchvision, channels_last")
    }


def _do(side: str, work) -> None:
    if side == "deeplab_tf":
        from .ours_tensorflow import make_way

        way, _ = make_way(work)
    else:
        from .torchvision_ways import make_ways

        (way,) = make_ways(work, forms=("channels_last",)).values()
    for _ in range(3):
        way()


if __name__ == "__main__":
    _do(*_pieces()[sys.argv[1]])
    from deeplab_tf.machine.system import own_peak

    print(own_peak())
