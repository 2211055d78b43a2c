"""Opened pictures: their formats, their orientation in every place, and sizes from headers only."""

import ast
import io
import pathlib
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image
from support.random_model import random_picture
from support.turned import ORIENTATION, PLACES, chunk, shown, turned, with_chunk, xmp

from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.files import picture_pixels, pixels_of, read_image
from deeplab_tf.images.picture import MAX_BLOCKS, open_picture, orientation, upright_size

ROOT = pathlib.Path(__file__).parents[2]
PIXELS = random_picture(9, 14)
EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 20 10
%%EndComments
newpath 0 0 moveto 20 10 lineto stroke
showpage
%%EOF
"""


def png(picture=PIXELS, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", **options)
    return file.getvalue()


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("place", PLACES)
def test_a_picture_is_turned_as_pillow_turns_it(place, number, tmp_path):
    """`deeplab-predict`, an opened picture, records and the server turn a picture alike."""
    encoded = turned(PIXELS, place, number)
    expected = shown(encoded)
    assert expected.shape == ((14, 9, 3) if number >= 5 else (9, 14, 3))
    path = tmp_path / "a"
    np.testing.assert_array_equal(pixels_of(path, encoded), expected)
    np.testing.assert_array_equal(picture_pixels(path, Image.open(io.BytesIO(encoded))), expected)
    path.write_bytes(encoded)
    stored, size, found = read_image(path)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(stored))), expected)
    assert (found, size) == (number, expected.shape[1::-1])
    assert upright_size(encoded) == expected.shape[:2]


def test_exif_counts_before_xmp_and_imagemagicks_text_does_not_count():
    exif = Image.Exif()
    exif[ORIENTATION] = 3
    both = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(6))
    assert orientation(open_picture(with_chunk(png(exif=exif), both))) == 3
    text = b"\nexif\n      %d\n" % len(exif.tobytes()) + exif.tobytes().hex().encode() + b"\n"
    old = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))
    picture = open_picture(with_chunk(png(), old))
    picture.load()
    assert picture.getexif()[ORIENTATION] == 3 and orientation(picture) == 1


def test_a_size_is_read_without_a_pixel():
    """Nor is anything decompressed: the pixels are replaced by what no decoder takes."""
    for place in PLACES[2:]:
        encoded = bytearray(turned(PIXELS, place, 6))
        at = encoded.index(b"IDAT") + 4
        encoded[at : at + 8] = b"no zlib!"
        assert upright_size(bytes(encoded)) == (14, 9)


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        (png()[:33] + chunk(b"tEXt", b"a\0") * MAX_BLOCKS + png()[33:], "32,768 chunks"),
        (b"\xff\xd8" + b"\xff\xe9\0\2" * MAX_BLOCKS + b"\xff\xd9", "32,768 segments"),
        (b"\xff\xd8" + b"\xff" * MAX_BLOCKS + b"\xff\xd9", "32,768 segments"),
        (b"\xff\xd8" + b"a" * MAX_BLOCKS + b"\xff\xd9", "32,768 segments"),
    ],
)
def test_a_header_of_countless_blocks_is_refused_at_once(blocks, said):
    begun = time.process_time()
    with pytest.raises(DeeplabError, match=f"more than {said}; save it again"):
        upright_size(blocks)
    assert time.process_time() - begun < 1


def test_an_eps_named_jpg_reaches_no_ghostscript(monkeypatch):
    assert Image.open(io.BytesIO(EPS)).format == "EPS"  # Pillow would take it

    def ghostscript(*_arguments, **_options):
        raise AssertionError("Ghostscript was called")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", ghostscript)
    monkeypatch.setattr(subprocess, "Popen", ghostscript)
    said = "image photo.jpg cannot be read: it is no image of a format that is read (JPEG, PNG, BMP"
    with pytest.raises(DeeplabError) as error:
        pixels_of(pathlib.Path("photo.jpg"), EPS)
    assert str(error.value).startswith(said) and "\n" not in str(error.value)


@pytest.mark.parametrize("format", ["BMP", "GIF", "WEBP", "TIFF", "PPM"])
def test_the_other_formats_are_read(format):
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, format, **({"lossless": True} if format == "WEBP" else {}))
    pixels = pixels_of(pathlib.Path("a"), file.getvalue())
    assert pixels.shape == PIXELS.shape
    assert format == "GIF" or (pixels == PIXELS).all()


def test_one_place_opens_pictures():
    """What ruff's banned-api holds, seen to be held: a file elsewhere that opens one is refused."""
    callers = {
        path.relative_to(ROOT).as_posix()
        for folder in ("deeplab_tf", "export", "configs")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "Image.open"
    }
    assert callers == {"deeplab_tf/images/picture.py"}
    command = [sys.executable, "-m", "ruff", "check", "--stdin-filename"]
    for name in ("deeplab_tf/data/new.py", "export/new.py"):
        code = b"from PIL import Image\n\nImage.open('a.jpg')\n"
        done = subprocess.run([*command, name, "-"], input=code, capture_output=True, cwd=ROOT)
        assert b"TID251" in done.stdout, done
