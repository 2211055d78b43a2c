"""Compares our logits with torchvision's, live, on the CPU; `make parity` runs it.

Prints a table and ends with exit code 1 where a difference reaches 1e-3.
"""

import sys

import numpy as np

# Before TensorFlow: torchvision brings triton, which crashes when it loads after it.
import torch
import torchvision
from parity.seeded_weights import draw, draw_image
from parity.torchvision_side import torchvision_logits, torchvision_model

from deeplab_tf.config import Backbone
from deeplab_tf.models import build_model
from deeplab_tf.weights.torchvision import load_state_dict, torchvision_config

SIZES = ((1, 1), (33, 65), (64, 50), (224, 224), (375, 500), (513, 513))
LIMIT = 1e-3


def main() -> int:
    """The exit code."""
    print(
        f"torch {torch.__version__}, torchvision {torchvision.__version__}; seeded weights, images"
    )
    print(f"{'network':<10} {'image':>9} {'max difference':>15} {'logits':>18} {'same label':>11}")
    worst = 0.0
    for backbone in (Backbone.RESNET50, Backbone.RESNET101):
        ours = build_model(torchvision_config(backbone))
        theirs = torchvision_model(backbone, {v.path: draw(v.path, v.shape) for v in ours.weights})
        # By torchvision's own state dict, auxiliary classifier and counters included.
        load_state_dict(ours, {key: t.numpy() for key, t in theirs.state_dict().items()})
        for seed, (height, width) in enumerate(SIZES):
            image = draw_image(seed, height, width)
            a = ours(image, training=False).numpy()
            b = torchvision_logits(theirs, image)
            difference = float(np.abs(a - b).max())
            worst = max(worst, difference)
            agree = float((a.argmax(-1) == b.argmax(-1)).mean())
            print(
                f"{backbone:<10} {f'{height}x{width}':>9} {difference:>15.2e} "
                f"{f'{b.min():.2f} .. {b.max():.2f}':>18} {agree:>11.4%}"
            )
    print(f"worst difference {worst:.2e}; the limit is {LIMIT:.0e}")
    return int(worst >= LIMIT)


if __name__ == "__main__":
    sys.exit(main())
