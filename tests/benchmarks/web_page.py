"""How far the page in a browser agrees with deeplab-predict, on photos, and how long both take.

    deeplab-export --model=voc.keras --format=web --image_size=257,257 --images='photos/*.jpg' \\
        --out=page
    make web-test
    python tests/benchmarks/web_page.py --page=page --images='photos/*.jpg' --count=20

The whole way is compared: decoding, shrinking, network, labels at the photo's size.
"""

import functools
import http.server
import json
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import threading
import time

import numpy as np
from absl import app, flags

from deeplab_tf.images.files import read_pixels
from deeplab_tf.inference.predictor import load_predictor
from deeplab_tf.prediction.inputs import find_images

_PAGE = flags.DEFINE_string("page", None, "What --format=web wrote.", required=True)
_IMAGES = flags.DEFINE_string("images", None, "A folder or a quoted pattern.", required=True)
_COUNT = flags.DEFINE_integer("count", 20, "How many, the first by name.")

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "export" / "web" / "label_photos.mjs"
PLAYWRIGHT = ROOT / "build" / "browser" / "node_modules" / "playwright-core"


def main(_):
    page = pathlib.Path(_PAGE.value).resolve()
    facts = json.loads((page / "model.json").read_text())
    photos = find_images(_IMAGES.value)[: _COUNT.value]
    with tempfile.TemporaryDirectory() as out:
        visit = visit_page(page, photos, out)
        labels = [np.fromfile(f"{out}/{index}.labels", np.uint8) for index in range(len(photos))]
    predict = load_predictor(page / facts["file"]).predict
    equal, seconds = [], []
    for photo, ours in zip(photos, labels, strict=True):
        pixels = read_pixels(photo)[None]
        begin = time.perf_counter()
        expected = predict(pixels)[0]
        seconds.append(time.perf_counter() - begin)
        equal.append(float(np.mean(ours.reshape(expected.shape) == expected)))
    least = int(np.argmin(equal))
    size = f"{facts['input']['height']}x{facts['input']['width']}"
    print(f"{len(photos)} photos, model of {size}, {visit['accelerator']}")
    print(
        f"labels equal    {statistics.mean(equal):.4%}, least {equal[least]:.4%} ({photos[least]})"
    )
    print(f"until ready     {visit['ready'] / 1000:.1f} s")
    print(f"browser         {statistics.median(visit['milliseconds']):.0f} ms, the model alone")
    python = 1000 * statistics.median(seconds[1:] or seconds)
    print(f"Python          {python:.0f} ms, shrinking included")


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Answers without a log."""

    def log_message(self, *_):
        pass


def visit_page(page, photos, out):
    """The JSON of label_photos.mjs, with the page served on this machine."""
    handler = functools.partial(QuietHandler, directory=page)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    command = ["node", SCRIPT, PLAYWRIGHT, shutil.which("chromium"), url, out, *photos]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    server.shutdown()
    return json.loads(answer)


if __name__ == "__main__":
    app.run(main)
