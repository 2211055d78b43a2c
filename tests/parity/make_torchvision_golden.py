"""Writes golden/torchvision_*.npz: torchvision's logits for seeded weights and images.

Run from the project's root in the virtual environment that `make parity` installs:
    PYTHONPATH=tests .venv-parity/bin/python -m parity.make_torchvision_golden
"""

import pathlib

import numpy as np

# Before TensorFlow: torchvision brings triton, which crashes when it loads after it.
import torch
import torchvision
from parity.torchvision_side import torchvision_logits, torchvision_model
from support.seeded_weights import digest, draw, draw_image

from deeplab_tf.config import Backbone
from deeplab_tf.models import build_model
from deeplab_tf.models.auxiliary import with_auxiliary
from deeplab_tf.weights.torchvision import torchvision_config

GOLDEN = pathlib.Path(__file__).parent / "golden"
MADE_WITH = f"torch {torch.__version__} torchvision {torchvision.__version__}"
SIZES = ((65, 97), (64, 50))
PIXEL_STRIDE = 3
"""Logits are stored for every third row and column; the class means cover all pixels."""


def main() -> None:
    """Writes one file per backbone, a few dozen kB each."""
    GOLDEN.mkdir(exist_ok=True)
    for backbone in (Backbone.RESNET50, Backbone.RESNET101):
        model_config = torchvision_config(backbone)
        model = with_auxiliary(build_model(model_config), model_config)
        values = {v.path: draw(v.path, v.shape) for v in model.weights}
        network = torchvision_model(backbone, values)
        arrays = {
            "weights_sha256": np.array(digest(values)),
            "made_with": np.array(
                f"torch {torch.__version__} torchvision {torchvision.__version__}"
            ),
            "sizes": np.array(SIZES),
            "pixel_stride": np.array(PIXEL_STRIDE),
        }
        for seed, (height, width) in enumerate(SIZES):
            both = torchvision_logits(network, draw_image(seed, height, width))
            for name, logits in (("", both["out"]), ("auxiliary_", both["aux"])):
                arrays[f"{name}logits{seed}"] = logits[0, ::PIXEL_STRIDE, ::PIXEL_STRIDE]
                means = logits.mean(axis=(0, 1, 2), dtype=np.float64)
                arrays[f"{name}class_means{seed}"] = means
        path = GOLDEN / f"torchvision_{backbone}.npz"
        np.savez_compressed(path, **arrays)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
