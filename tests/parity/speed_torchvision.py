"""Times our network beside torchvision's of the same architecture, in turns in one run, on the CPU.

    PYTHONPATH=tests .venv-parity/bin/python -m parity.speed_torchvision

Inference of one 513x513 image by ResNet-101 at output_stride 8. torch runs in its faster memory
layout too (channels_last). Each figure is the median.
"""

import os
import statistics
import time

# Before TensorFlow: torchvision brings triton, which crashes when it loads after it.
import torch
from parity.seeded_weights import draw, draw_image
from parity.torchvision_side import torchvision_model

from deeplab_tf.config import Backbone
from deeplab_tf.models import build_model
from deeplab_tf.weights.torchvision import torchvision_config

ROUNDS, SIDE = 9, 513


def main() -> None:
    """Prints the table."""
    import tensorflow as tf

    ours = build_model(torchvision_config(Backbone.RESNET101))
    weights = {v.path: draw(v.path, v.shape) for v in ours.weights}
    image = draw_image(0, SIDE, SIDE)
    pixels = torch.from_numpy(image.transpose(0, 3, 1, 2)).float() / 255
    usual = torchvision_model(Backbone.RESNET101, weights)
    last = torchvision_model(Backbone.RESNET101, weights).to(memory_format=torch.channels_last)
    usual.aux_classifier = last.aux_classifier = None  # would run, and serves training alone
    pixels_last = pixels.to(memory_format=torch.channels_last)
    graph = tf.function(lambda x: ours(x, training=False))
    ways = {
        "deeplab_tf": lambda: graph(image).numpy(),
        "torchvision": lambda: usual(pixels)["out"].numpy(),
        "torchvision, channels_last": lambda: last(pixels_last)["out"].numpy(),
    }
    seconds = {name: [] for name in ways}
    with torch.inference_mode():
        for _ in range(ROUNDS + 1):
            for name, way in ways.items():
                begin = time.perf_counter()
                way()
                seconds[name].append(time.perf_counter() - begin)
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    print(f"inference, ResNet-101, output_stride 8, {SIDE}x{SIDE}, {os.cpu_count()} cores")
    for name, median in medians.items():
        print(f"{name:<28}{median:>7.3f} s{median / medians['deeplab_tf']:>7.2f} x ours")


if __name__ == "__main__":
    main()
