"""Peak memory of Beam's local runner over more and more images of 600x600, without a network.

python tests/benchmarks/beam_memory.py
"""

import dataclasses
import pathlib
import resource
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

from deeplab_tf.distributed.beam import BeamRunner
from deeplab_tf.images.classes import SHAPES
from deeplab_tf.inference.model_handler import Model
from deeplab_tf.inference.predictor import Predictor
from deeplab_tf.prediction.beam_predict import ImageFiles, predict_by_beam

COUNTS = (50, 400, 2000)


@dataclasses.dataclass(frozen=True)
class RedIsTheLabel(Model):
    """A model that stands for a network: the red channel is the label."""

    def load(self) -> Predictor:
        return Predictor(SHAPES, lambda images: images[..., 0] % SHAPES.num_classes)


def peak_mb(count: int) -> float:
    """After `count` images, in this process."""
    picture = Image.fromarray(np.full((600, 600, 3), 7, np.uint8))
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "images").mkdir()
        for number in range(count):
            picture.save(root / "images" / f"{number}.jpg")
        (root / "model").touch()
        inputs = ImageFiles(str(root / "images"))
        predict_by_beam(
            BeamRunner("DirectRunner"), RedIsTheLabel(root / "model"), inputs, root / "out"
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(f"{int(sys.argv[1]):5} images  {peak_mb(int(sys.argv[1])):4.0f} MB")
    else:
        for number in COUNTS:
            subprocess.run([sys.executable, __file__, str(number)], check=True)
