"""The page in a browser: its labels are the Python interpreter's, its controls work, offline too.

Needs Chromium, node, playwright-core (which `make web-test` installs) and LiteRT.js.
"""

import functools
import http.server
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.commands import call
from support.random_model import random_picture, random_trained_model

from deeplab_tf.artefacts.trained_model import save_model
from deeplab_tf.errors import DeeplabError
from deeplab_tf.export.litert_js import cache_folder, litert_js_files
from deeplab_tf.export.web_page import cache_list
from deeplab_tf.images.classes import SHAPES
from deeplab_tf.images.drawing import blend
from deeplab_tf.images.files import read_pixels
from deeplab_tf.inference.predictor import load_predictor

SCRIPT = Path(__file__).parent / "web" / "browse_page.mjs"
PLAYWRIGHT = Path(__file__).parents[2] / "build" / "browser" / "node_modules" / "playwright-core"
PHOTOS = {"photo_large.jpg": (300, 211), "photo_small.png": (40, 50), "photo_wide.jpg": (65, 200)}
SIZE = (65, 81)


def needed_programs():
    """Paths of node and Chromium; skips with the reason where something is missing."""
    node = shutil.which("node")
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chrome")
    for name, there in {
        "node is not installed": node,
        "chromium is not installed": chromium,
        f"{PLAYWRIGHT} is missing; make web-test installs it": PLAYWRIGHT.is_dir(),
    }.items():
        if not there:
            pytest.skip(name)
    try:
        litert_js_files()
    except DeeplabError as error:
        pytest.skip(str(error))
    return node, chromium


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The page as the command writes it, in `page/`, and photos of several sizes."""
    needed_programs()
    folder = tmp_path_factory.mktemp("browser")
    save_model(random_trained_model(), folder / "model.keras")
    for seed, (name, size) in enumerate(PHOTOS.items()):
        Image.fromarray(random_picture(*size, seed=seed)).save(folder / name)
    (folder / "notes.txt").write_text("no image")
    arguments = ["--format=web", f"--out={folder}/page", f"--images={folder}/*.jpg"]
    arguments += [f"--image_size={SIZE[0]},{SIZE[1]}", f"--litertjs={cache_folder()}"]
    done = call("export", f"--model={folder}/model.keras", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"next               python -m http.server --directory={folder}/page" in done.stdout
    return folder


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """What `python -m http.server` answers with, without its log."""

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server(folder):
    """`python -m http.server` on a free port, for this machine only."""
    handler = functools.partial(QuietHandler, directory=folder / "page")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def seen(folder, server):
    """What the visit of browse_page.mjs saw."""
    node, chromium = needed_programs()
    url = f"http://127.0.0.1:{server.server_port}/"
    command = [node, SCRIPT, PLAYWRIGHT, chromium, url, folder]
    visit = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        for line in visit.stdout:
            if line == "newer\n":
                publish_anew(folder / "page")
            elif line == "offline\n":
                server.shutdown()
                server.server_close()
            else:
                return json.loads(line) | {"url": url}
            visit.stdin.write("\n")
            visit.stdin.flush()
        pytest.fail("the visit ended early; its reason is above")
    finally:
        visit.stdin.close()
        visit.wait()


def publish_anew(page):
    """Makes the folder what another export of a model of the same classes might have written."""
    facts = json.loads((page / "model.json").read_text())
    (page / "model.json").write_text(json.dumps(facts | {"newer": True}))
    (page / "cache_list.js").write_text(cache_list(page))


@pytest.mark.parametrize("visit", ["labels", "offline"])
@pytest.mark.parametrize("name", PHOTOS)
def test_the_label_map_is_the_interpreters(seen, folder, name, visit):
    """The whole photo, at its own size: decoding, shrinking, network and enlarging together."""
    expected = load_predictor(folder / "page" / "model.tflite").predict(
        read_pixels(folder / name)[None]
    )[0]
    labels = np.fromfile(folder / f"{name}.{visit}", np.uint8).reshape(PHOTOS[name])
    assert np.mean(labels == expected) >= 0.999
    assert len(np.unique(expected)) >= 4


def test_it_is_ready_says_so_and_loads_nothing_from_elsewhere(seen):
    assert seen["complaints"] == []
    assert seen["offlineTold"] == "works"
    assert {url for url in seen["requests"] if not url.startswith(seen["url"])} == set()
    assert seen["known"] == ["circle", "square", "triangle", "star", "ring"]


def test_the_legend_has_the_classes_present_with_their_shares(seen, folder):
    last = np.fromfile(folder / f"{sorted(PHOTOS)[-1]}.labels", np.uint8)
    counts = np.bincount(last, minlength=6)
    order = [index for index in np.argsort(-counts) if counts[index]]
    names = ("background", "circle", "square", "triangle", "star", "ring")
    assert seen["found"] == [names[index] for index in order]
    shares = [float(share.removeprefix("< ").removesuffix(" %")) for share in seen["shares"]]
    np.testing.assert_allclose(shares, 100 * counts[order] / counts.sum(), atol=0.51)
    assert seen["summary"] == seen["description"]
    assert seen["summary"].startswith(f"What is there: {seen['found'][0]} {seen['shares'][0]}, ")
    assert float(seen["latency"].removesuffix(" ms")) > 0


def test_the_picture_that_is_saved_is_deeplab_predicts(seen, folder):
    name = sorted(PHOTOS)[-1]
    labels = np.fromfile(folder / f"{name}.labels", np.uint8).reshape(PHOTOS[name])
    expected = np.asarray(blend(read_pixels(folder / name), labels, SHAPES), np.int16)
    saved = np.asarray(Image.open(folder / "saved.png").convert("RGB"), np.int16)
    assert np.abs(saved - expected).max() <= 2  # of 255: each rounds in its own way
    assert seen["savedName"] == "what_is_where.png"


def test_all_of_it_by_keyboard(seen):
    assert seen["tabbed"][:4] == ["choose", "camera", "save", "opacity"]
    assert float(seen["opacity"]) == pytest.approx(0.5)
    assert seen["focusAfterEnter"] == seen["tabbed"][4]
    assert (seen["pressed"], seen["pressedAgain"]) == (1, 0)
    assert seen["classesAlone"] == 2  # it, and all else clear
    assert seen["chooser"]


def test_a_file_that_is_no_image(seen):
    assert seen["alert"].startswith("“notes.txt” is not a picture that this browser can read.")
    assert seen["photoStays"]
    assert seen["alertClosed"]


def test_a_photo_that_is_dropped(seen):
    assert (seen["dropHint"], seen["dropHintGone"], seen["droppedEqual"]) == (True, True, True)


def test_the_camera(seen):
    assert seen["cameraState"] == "camera"
    assert seen["cameraFocus"] == "stop"
    assert seen["cameraStopped"] == "photo"
    assert seen["cameraRests"]


def test_a_browser_that_computes_something_else_is_not_used(seen):
    assert seen["wrongNumbers"].startswith("The model cannot run here: this browser computes other")
    assert seen["readyAllTheSame"] == 0


def test_a_newer_page_comes_whole_and_when_it_is_asked_for(seen):
    assert (seen["newBeforeAsked"], seen["newAfterAsked"]) == (False, True)
    assert seen["caches"] == 1


def test_the_server_was_gone_when_the_page_was_loaded_again(seen):
    assert seen["refused"]
