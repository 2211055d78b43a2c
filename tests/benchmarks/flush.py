"""What it costs to flush files to the disk before they count.

    python tests/benchmarks/flush.py --folder=/var/tmp --images=1000

Prints the calls and the seconds of `os.fsync`, and the seconds of all, of the records of drawn
images and of three checkpoints of a ResNet-101 with its momentum.
"""

import os
import pathlib
import tempfile
import time

from absl import app, flags

FOLDER = flags.DEFINE_string("folder", None, "a folder on the disk to measure", required=True)
IMAGES = flags.DEFINE_integer("images", 1000, "the images of the records", lower_bound=2)
CHECKPOINTS = 3


class Watch:
    """Counts and times `os.fsync` while a function runs, and prints both."""

    def __init__(self):
        self._fsync = os.fsync
        self._calls, self._seconds = 0, 0.0

    def measure(self, name: str, function) -> None:
        """Runs `function` and prints a line that begins with `name`."""
        self._calls, self._seconds = 0, 0.0
        os.fsync = self._timed
        begun = time.perf_counter()
        function()
        whole = time.perf_counter() - begun
        os.fsync = self._fsync
        print(f"{name}: {self._calls} calls, {self._seconds:.2f} s of {whole:.1f} s", flush=True)

    def _timed(self, handle) -> None:
        begun = time.perf_counter()
        self._fsync(handle)
        self._calls, self._seconds = self._calls + 1, self._seconds + time.perf_counter() - begun


def main(_) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory(dir=FOLDER.value) as name:
        folder, watch = pathlib.Path(name), Watch()
        watch.measure(f"records of {IMAGES.value} images", _records_of(folder))
        watch.measure(f"{CHECKPOINTS} checkpoints", _checkpoints_in(folder))


def _records_of(folder: pathlib.Path):
    from deeplab_tf.data.sources.shapes import write_shapes_devkit
    from deeplab_tf.data.sources.voc import voc_source
    from deeplab_tf.data.write_records import write_records
    from deeplab_tf.images.classes import SHAPES

    val = IMAGES.value // 10
    write_shapes_devkit(folder / "kit", train=IMAGES.value - val, val=val)
    return lambda: write_records(voc_source(folder / "kit", SHAPES), folder / "data")


def _checkpoints_in(folder: pathlib.Path):
    from deeplab_tf.config import ModelConfig, TrainConfig
    from deeplab_tf.models import build_model
    from deeplab_tf.runs.checkpoints import Checkpoints
    from deeplab_tf.training.optimizer import make_optimizer

    model = build_model(ModelConfig(num_classes=21))
    optimizer = make_optimizer(TrainConfig(), model)
    checkpoints = Checkpoints(folder / "run", model, optimizer, keep=1)

    def save() -> None:
        for step in range(CHECKPOINTS):
            optimizer.iterations.assign(step)
            checkpoints.save()

    return save


if __name__ == "__main__":
    app.run(main)
