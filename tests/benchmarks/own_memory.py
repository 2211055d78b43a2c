"""Bytes of a training step and of an evaluated image by pixels: the constants of the own rows.

    python tests/benchmarks/own_memory.py --rows=mobilenet_v2,resnet50

`deeplab_tf/training/choices/memory.py` has what this prints. Each figure is of processes of their
own. `a pixel` is the growth of the peak from a batch of 2 to one of 8, over the pixels between
them; `a class` the growth of that by class and pixel from 21 to 121 classes, at output_stride 16;
`at rest` what the step of the smaller batch holds above the growth of its pixels: network,
libraries and optimiser. `evaluated` is the growth from an image of 257x193 to one of 1025x769.
"""

import argparse
import subprocess
import sys

import train_memory

ROWS = "mobilenet_v2,mobilenet_v3,resnet50,resnet101,slim"
SIDE = 257


def main() -> None:
    """Prints a line a row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default=ROWS, help="rows of configs/own.py")
    parser.add_argument("--strides", default="16,8")
    parser.add_argument("--forward", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.forward:
        print(forward(*arguments.forward))
        return
    print("row, output_stride: a pixel, a class, MB at rest, evaluated a pixel")
    for row in arguments.rows.split(","):
        for stride in map(int, arguments.strides.split(",")):
            print(f"{row}, {stride}: {describe(row, stride)}", flush=True)


def describe(row: str, stride: int) -> str:
    """The figures of a row at an output_stride."""
    pixels = SIDE * SIDE
    small, large = peak(row, stride, 2), peak(row, stride, 8)
    a_pixel = (large - small) / (6 * pixels)
    a_class = "-"
    if stride == 16:
        many = peak(row, stride, 8, classes=121) - peak(row, stride, 2, classes=121)
        a_class = f"{(many / (6 * pixels) - a_pixel) / 100:.1f}"
    at_rest = small - 2 * pixels * a_pixel
    shown = [evaluated(row, stride, *size) for size in ((193, 257), (769, 1025))]
    an_evaluated = (shown[1] - shown[0]) / (769 * 1025 - 193 * 257)
    return f"{a_pixel:.0f}, {a_class}, {at_rest / 1e6:.0f}, {an_evaluated:.0f}"


def peak(row: str, stride: int, batch: int, classes: int = 21) -> int:
    """The peak of a training process in bytes."""
    flags = (f"--config=configs/own.py:{row}", f"--output_stride={stride}", f"--batch={batch}")
    flags = (*flags, f"--side={SIDE}", f"--classes={classes}", "--steps=2")
    return train_memory.in_own_process("float32", flags).peak


def evaluated(row: str, stride: int, height: int, width: int) -> int:
    """The peak of a process that labels one image, in bytes."""
    command = [sys.executable, __file__, "--forward", f"{row}/{stride}", str(height), str(width)]
    return int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.split()[-1])


def forward(row_and_stride: str, height: str, width: str) -> int | None:
    """Labels one image of noise in this process; returns its peak."""
    import dataclasses

    import numpy as np
    import tensorflow as tf

    from deeplab_tf.config import load_experiment
    from deeplab_tf.machine.system import own_peak
    from deeplab_tf.models import build_model

    row, stride = row_and_stride.split("/")
    config = load_experiment(f"configs/own.py:{row}").model
    network = build_model(dataclasses.replace(config, num_classes=21, output_stride=int(stride)))
    look = tf.function(lambda image: tf.argmax(network(image, training=False), -1))
    noise = np.random.default_rng(0).integers(0, 256, (1, int(height), int(width), 3))
    look(tf.constant(noise.astype(np.float32))).numpy()
    return own_peak()


if __name__ == "__main__":
    main()
