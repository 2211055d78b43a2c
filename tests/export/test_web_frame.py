"""The page's own arithmetic, run by node: a photo into the model's frame and back, as in Python."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from deeplab_tf.export.self_check import drawn_picture
from deeplab_tf.export.web_page import PAGE
from deeplab_tf.images.frame import predict_in_frame

SCRIPT = Path(__file__).parent / "web" / "frame_parity.mjs"
FRAME = {"height": 65, "width": 81, "pad": [124, 117, 104], "longest": None}
SHORTER = {**FRAME, "longest": 50}
SIZES = [(65, 81), (40, 50), (66, 81), (65, 82), (130, 162), (131, 163), (300, 200), (97, 701)]
THIN_OR_TINY = [(1, 1), (1, 900), (900, 1), (2, 3)]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """For each size: the photo, what node framed, its labels at the photo's size, its picture."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    folder = tmp_path_factory.mktemp("frame")
    rng = np.random.default_rng(0)
    cases, photos = [], {}
    for height, width in SIZES + THIN_OR_TINY:
        photo = rng.integers(0, 256, (height, width, 4), np.uint8)
        photos[height, width] = photo[..., :3]
        for frame in (FRAME, SHORTER):
            name = f"{height}x{width}_{frame['longest']}"
            (folder / f"{name}.rgba").write_bytes(photo.tobytes())
            cases.append({"name": name, "height": height, "width": width, "input": frame})
    (folder / "cases.json").write_text(json.dumps(cases))
    subprocess.run([node, SCRIPT, PAGE, folder / "cases.json"], check=True)

    def read(size, kind, frame=FRAME):
        name = f"{size[0]}x{size[1]}_{frame['longest']}"
        return np.fromfile(folder / f"{name}.{kind}", np.uint8)

    return photos, read


@pytest.mark.parametrize("frame", [FRAME, SHORTER], ids=["any", "longest_50"])
@pytest.mark.parametrize("size", SIZES + THIN_OR_TINY)
def test_the_frame_is_pillows_bit_for_bit_and_the_labels_are_pythons(answers, size, frame):
    """Noise, in which every weight shows, through the function that deeplab-predict uses."""
    photos, read = answers
    framed = []

    def run(pixels):
        framed.append(pixels)
        return pixels[..., 0], pixels.astype(np.float32)

    fill, place = np.array(FRAME["pad"], np.uint8), (FRAME["height"], FRAME["width"])
    labels = predict_in_frame(photos[size], place, fill, run, frame["longest"])
    np.testing.assert_array_equal(read(size, "framed", frame), framed[0].ravel())
    # Where two classes are as likely, the last digit of a float32 decides.
    agreement = np.mean(read(size, "labels", frame) == labels.ravel())
    assert agreement > 0.9995 and (agreement == 1 or max(size) > 50)


def test_both_draw_the_same_picture(answers):
    _, read = answers
    picture = drawn_picture(FRAME["height"], FRAME["width"])
    np.testing.assert_array_equal(read(SIZES[0], "drawn"), picture.ravel())
    assert len(np.unique(picture)) > 200
