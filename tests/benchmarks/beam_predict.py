"""What Beam's local runner costs beside plain `deeplab-predict`, on the same images.

    python tests/benchmarks/beam_predict.py --model=saved_model --images='photos/*.jpg'

Each way is a process of its own, once over all images and once over the first only, which shows
the start (imports, models, workers); in turns, in seconds of all cores together, since the clock
also tells what else the machine does. Medians over the rounds, and the median of each round's ratio
to `deeplab-predict` of what the other images take. The labels of all ways are compared.
"""

import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile

import numpy as np
from absl import app, flags
from PIL import Image

from deeplab_tf.prediction.inputs import find_images

_MODEL = flags.DEFINE_string("model", None, "The flag of deeplab-predict.", required=True)
_IMAGES = flags.DEFINE_string("images", None, "The flag of deeplab-predict.", required=True)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Turns.")
WAYS = {
    "deeplab-predict": [],
    "DirectRunner": ["--runner=DirectRunner"],
    "DirectRunner, 2 processes": [
        "--runner=DirectRunner",
        "--beam_options=direct_num_workers=2,direct_running_mode=multi_processing",
    ],
}


def predict(flags_of_way: list[str], images: str, out: pathlib.Path) -> float:
    """The seconds of all cores that one run takes, those of its worker processes included."""
    command = [sys.executable, "-m", "deeplab_tf.cli.predict", f"--model={_MODEL.value}"]
    command += [f"--images={images}", f"--out={out}", *flags_of_way]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(_) -> None:
    files = find_images(_IMAGES.value)
    starts: dict[str, list[float]] = {way: [] for way in WAYS}
    others: dict[str, list[float]] = {way: [] for way in WAYS}
    equal = {}
    with tempfile.TemporaryDirectory() as root:
        for number in range(_ROUNDS.value):
            outs = {way: pathlib.Path(root) / f"{number} {way}" for way in WAYS}
            for way, out in outs.items():
                starts[way].append(predict(WAYS[way], str(files[0]), out.with_suffix(".one")))
                seconds = predict(WAYS[way], _IMAGES.value, out)
                others[way].append((seconds - starts[way][-1]) / (len(files) - 1))
            equal = {way: share_equal(outs["deeplab-predict"], out) for way, out in outs.items()}
    print(f"{len(files)} images, {_ROUNDS.value} rounds")
    print(f"{'':26}  CPU s at the start  CPU ms an image  ratio  equal labels")
    for way, taken in others.items():
        pairs = zip(taken, others["deeplab-predict"], strict=True)
        ratio = statistics.median(here / plain for here, plain in pairs)
        start, image = statistics.median(starts[way]), 1e3 * statistics.median(taken)
        print(f"{way:26}  {start:18.1f}  {image:15.0f}  {ratio:5.2f}  {100 * equal[way]:11.5f}%")


def share_equal(expected: pathlib.Path, found: pathlib.Path) -> float:
    """The share of pixels of the PNGs in `expected` that have the same label in `found`."""
    same = pixels = 0
    for path in expected.glob("*.png"):
        with Image.open(path) as a, Image.open(found / path.name) as b:
            same += np.count_nonzero(np.asarray(a) == np.asarray(b))
            pixels += a.width * a.height
    return same / pixels


if __name__ == "__main__":
    app.run(main)
