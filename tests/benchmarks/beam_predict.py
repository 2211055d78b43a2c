"""What Beam's local runner costs beside plain `deeplab-predict`, on the same images.

    python tests/benchmarks/beam_predict.py --model=saved_model --images='photos/*.jpg'

Each way is a process of its own, start, imports and all, in turns: medians over the rounds, and the
median of each round's ratio to `deeplab-predict`. The labels of all ways are compared.
"""

import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from absl import app, flags
from PIL import Image

_MODEL = flags.DEFINE_string("model", None, "As of deeplab-predict.", required=True)
_IMAGES = flags.DEFINE_string("images", None, "As of deeplab-predict.", required=True)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Turns.")
WAYS = {
    "deeplab-predict": [],
    "DirectRunner": ["--runner=DirectRunner"],
    "DirectRunner, 2 processes": [
        "--runner=DirectRunner",
        "--beam_options=direct_num_workers=2,direct_running_mode=multi_processing",
    ],
}


def predict(flags_of_way: list[str], out: pathlib.Path) -> float:
    """The seconds that one run takes."""
    command = [sys.executable, "-m", "deeplab_tf.cli.predict", f"--model={_MODEL.value}"]
    command += [f"--images={_IMAGES.value}", f"--out={out}", *flags_of_way]
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begin


def main(_) -> None:
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    equal = {}
    with tempfile.TemporaryDirectory() as root:
        for number in range(_ROUNDS.value):
            outs = {way: pathlib.Path(root) / f"{number} {way}" for way in WAYS}
            for way, out in outs.items():
                seconds[way].append(predict(WAYS[way], out))
            equal = {way: share_equal(outs["deeplab-predict"], out) for way, out in outs.items()}
            count = len(list(outs["deeplab-predict"].glob("*.png")))
    print(f"{count} images, {_ROUNDS.value} rounds\n{'':26}  seconds  ratio  equal labels")
    for way, taken in seconds.items():
        pairs = zip(taken, seconds["deeplab-predict"], strict=True)
        ratio = statistics.median(here / plain for here, plain in pairs)
        print(f"{way:26}  {statistics.median(taken):7.1f}  {ratio:5.2f}  {100 * equal[way]:11.5f}%")


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
