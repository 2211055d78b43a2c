"""The page's own orientation of photos, run by node: the rule and the pixels of deeplab-predict."""

import io
import json
import shutil
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.random_model import random_picture
from support.turned import PLACES, chunk, shown, turned, with_chunk, xmp

from deeplab_tf.export.web_page import PAGE
from deeplab_tf.images.picture import open_picture, orientation

SCRIPT = Path(__file__).parent / "web" / "orientation_parity.mjs"
PIXELS = random_picture(9, 14)


def changed_bytes():
    """A JPEG with each byte of its EXIF block changed, by which types, counts and offsets are."""
    encoded = turned(PIXELS, "JPEG EXIF", 6)
    begin = encoded.index(b"Exif\0\0") + 6
    for at in range(begin, begin + 26):
        for value in (0, 1, 3, 4, 6, 8, 9, 255):
            yield encoded[:at] + bytes([value]) + encoded[at + 1 :]


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """The photos by name, what node found of each, and the folder of its files."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    folder = tmp_path_factory.mktemp("orientation")
    photos = {f"{p} {n}": turned(PIXELS, p, n) for p in PLACES for n in range(1, 9)}
    photos |= {f"changed {i}": photo for i, photo in enumerate(changed_bytes())}
    compressed = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp(6))
    late = chunk(b"iTXt", compressed)
    photos["compressed"] = with_chunk(png_of(PIXELS), late)
    photos["compressed behind EXIF"] = with_chunk(turned(PIXELS, "PNG eXIf", 3), late)
    photos["other"] = b"GIF89a"
    for name, photo in photos.items():
        (folder / name).write_bytes(photo)
        stored = PIXELS if name == "other" else stored_pixels(photo)
        (folder / f"{name}.rgba").write_bytes(rgba(stored).tobytes())
    listed = [{"name": name, "width": 14, "height": 9} for name in photos]
    (folder / "cases.json").write_text(json.dumps(listed))
    command = [node, SCRIPT, PAGE, folder / "cases.json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return photos, json.loads(done.stdout), folder


def png_of(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def stored_pixels(encoded):
    return np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))


def rgba(pixels):
    return np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("place", PLACES)
def test_a_photo_is_turned_as_pillow_turns_it(place, number, cases):
    photos, found, folder = cases
    name = f"{place} {number}"
    expected = rgba(shown(photos[name]))
    assert found[name] == [number, *expected.shape[:2]]
    np.testing.assert_array_equal(np.fromfile(folder / f"{name}.shown", np.uint8), expected.ravel())


def test_the_browser_gets_a_whole_photo_that_says_nothing_of_its_orientation(cases):
    photos, _, folder = cases
    for name in (f"{place} 6" for place in PLACES):
        bare = (folder / f"{name}.bare").read_bytes()
        picture = open_picture(bare)
        picture.load()
        assert orientation(picture) == 1 and b"tiff:" not in bare and b"Exif" not in bare
        np.testing.assert_array_equal(np.asarray(picture), stored_pixels(photos[name]))
    assert (folder / "other.bare").read_bytes() == b"GIF89a"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_odd_metadata_is_read_as_by_the_other_roads(cases):
    photos, found, _ = cases
    for name in photos:
        if name.startswith("changed"):
            assert found[name][0] == orientation(open_picture(photos[name])), name
    assert found["compressed behind EXIF"] == [3, 9, 14]
    assert found["compressed"].startswith("The photo's XMP packet is compressed. Save")
