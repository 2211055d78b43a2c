"""Our input pipeline beside torchvision v2 with DataLoader, in turns in one run, on VOC.

    python tests/benchmarks/beside_torchvision.py --data_dir=DIR --voc=VOCdevkit --cores=2
    python tests/benchmarks/beside_torchvision.py ... --augment

Both decode a JPEG and a PNG, scale at random by 0.5 to 2.0 (bilinear without antialiasing, nearest
for the mask), pad with the mean pixel and void, crop, flip, and give batches with float32 images.
Ours reads records that `deeplab-prepare --dataset=voc --source=VOCdevkit` wrote in DIR, torchvision
VOC's own files. Ours blends in float32 and makes only the crop; torchvision resizes the whole
image, in uint8, which is its fastest. Both are bound to the same cores; DataLoader has a worker for
each of them (none on a single one). Two ways of its float32 batch are run: a new tensor each, as
usual, and one tensor used again, which the caller must not keep.

`--augment` adds rotation, brightness, contrast, saturation, hue, grey, blur, noise, JPEG and
cut-out on both sides, with equal ranges and probabilities. Copy-paste is left out, since
torchvision has none.

torch comes from `--torch_python`, an environment of its own: `make parity` makes one.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from absl import app, flags

DATA_DIR = flags.DEFINE_string("data_dir", None, "folder that deeplab-prepare wrote", required=True)
VOC = flags.DEFINE_string("voc", None, "the folder VOCdevkit", required=True)
TORCH_PYTHON = flags.DEFINE_string(
    "torch_python", ".venv-parity/bin/python", "the python that has torch and torchvision"
)
CROP = flags.DEFINE_integer("crop_size", 513, "side of the crop in pixels", lower_bound=1)
BATCH = flags.DEFINE_integer("batch_size", 16, "images a batch", lower_bound=1)
CORES = flags.DEFINE_integer("cores", os.cpu_count(), "how many cores to run on", lower_bound=1)
WORKERS = flags.DEFINE_integer("workers", None, "DataLoader's processes", lower_bound=0)
AUGMENT = flags.DEFINE_bool("augment", False, "whether to run every augmentation as well")
ROUNDS = flags.DEFINE_integer("rounds", 7, "turns of each side", lower_bound=1)
JSON = flags.DEFINE_string("json", None, "where else the figures go: by side, a number a turn")
SECONDS = flags.DEFINE_float("seconds", 3, "how long a turn is")

HERE = Path(__file__).parent


def main(_) -> None:
    cores = sorted(os.sched_getaffinity(0))[: CORES.value]
    os.sched_setaffinity(0, cores)  # what is started from here on inherits it
    workers = WORKERS.value
    if workers is None:
        workers = len(cores) if len(cores) > 1 else 0
    crop, batch = str(CROP.value), str(BATCH.value)
    ours = [sys.executable, str(HERE / "our_side.py"), DATA_DIR.value, crop, batch]
    theirs = [TORCH_PYTHON.value, str(HERE / "torchvision_side.py"), VOC.value, crop]
    way = "augmented" if AUGMENT.value else "plain"
    with tempfile.TemporaryDirectory() as folder:
        crops = f"{folder}/crops.npz"
        subprocess.run([*ours, crops], check=True, stderr=subprocess.DEVNULL)
        subprocess.run([*theirs, "compare", crops], check=True)
    usual, reused = "torchvision", "torchvision, batch reused"
    measured = _in_turns(
        {
            "deeplab_tf": [*ours, way],
            usual: [*theirs, batch, str(workers), "new", way],
            reused: [*theirs, batch, str(workers), "reused", way],
        }
    )
    print(
        f"{way} batches of {batch} at crop {crop} on cores {cores}, {workers} DataLoader workers, "
        f"{ROUNDS.value} turns of {SECONDS.value:g} s: median (least-most)"
    )
    _print_table(measured, len(cores))
    if JSON.value:
        Path(JSON.value).write_text(json.dumps(measured))


def _in_turns(commands: dict[str, list[str]]) -> dict[str, dict[str, list[float]]]:
    """Starts all sides, lets one at a time work, and gathers what each answers."""
    measured = {name: {"images_s": [], "cpu_ms": []} for name in commands}
    with contextlib.ExitStack() as stack:
        sides = {
            name: stack.enter_context(
                subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
            )
            for name, command in commands.items()
        }
        for turn in range(ROUNDS.value + 1):
            for name, side in sides.items():
                side.stdin.write(f"{SECONDS.value if turn else 0.5}\n")
                side.stdin.flush()
                answer = side.stdout.readline()
                if not answer:
                    raise SystemExit(f"{name} failed; run it alone: {' '.join(commands[name])}")
                if turn:  # the first warms up
                    for key, value in json.loads(answer).items():
                        measured[name][key].append(value)
        for side in sides.values():
            side.stdin.close()
    return measured


def _print_table(measured: dict[str, dict[str, list[float]]], cores: int) -> None:
    """A line a side; the ratios are medians over the turns, in which ours and theirs are near."""
    head = ("images/s a core", "ms CPU an image", "ours, by clock", "ours, by CPU")
    print(" " * 26 + "".join(f"{title:>22}" for title in head))
    ours = measured["deeplab_tf"]
    for name, of in measured.items():
        pace = [value / cores for value in of["images_s"]]
        clock = [a / b for a, b in zip(ours["images_s"], of["images_s"], strict=True)]
        cpu = [b / a for a, b in zip(ours["cpu_ms"], of["cpu_ms"], strict=True)]
        columns = ((pace, 0), (of["cpu_ms"], 2), (clock, 2), (cpu, 2))
        print(f"{name:<26}" + "".join(f"{_spread(*column):>22}" for column in columns))


def _spread(values: list[float], digits: int) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


if __name__ == "__main__":
    app.run(main)
