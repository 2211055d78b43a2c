"""The orientation of a JPEG in graph operations, held against Pillow."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps
from support.random_model import random_picture

from deeplab_tf.export.exif import exif_orientation, upright

ORIENTATION = 0x0112


@pytest.fixture(scope="module")
def read():
    """`exif_orientation` as it runs in a SavedModel: a graph, traced once."""
    graph = tf.function(exif_orientation, input_signature=[tf.TensorSpec((), tf.string)])
    return lambda encoded: int(graph(encoded))


def jpeg(orientation=None, *, endian=b"MM", before=(), icc=None) -> bytes:
    exif = Image.Exif()
    for tag, value in before:
        exif[tag] = value
    if orientation is not None:
        exif[ORIENTATION] = orientation
    exif.endian = {b"MM": ">", b"II": "<"}[endian]
    data = exif.tobytes()
    file = io.BytesIO()
    picture = Image.fromarray(random_picture(9, 14))
    picture.save(file, "JPEG", exif=data if len(exif) else b"", icc_profile=icc, quality=95)
    return file.getvalue()


@pytest.mark.parametrize("endian", [b"II", b"MM"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_in_both_byte_orders_are_as_pillow_turns_them(orientation, endian, read):
    encoded = jpeg(orientation, endian=endian, before=[(0x010F, "maker"), (0x0110, "model")])
    tiff = encoded.index(b"Exif\0\0") + 6
    assert encoded[tiff : tiff + 2] == endian
    assert read(encoded) == orientation
    stored = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))))
    np.testing.assert_array_equal(upright(stored, tf.constant(orientation)), expected)


@pytest.mark.timeout(60)
def test_segments_that_lead_back_end(read):
    """A segment whose length is cut off by the end of what is looked at, or that has none, reached
    by another from before it."""
    window = 1 << 18
    content = bytearray(window)
    content[:4] = b"\xff\xd8\xff\xe2"
    at, last = 2, window - 2
    while last - at > 60_000:  # segments up to near the end
        content[at : at + 4] = b"\xff\xe2" + (50_000).to_bytes(2)
        at += 50_002
    content[at : at + 4] = b"\xff\xe2" + (last - at - 2).to_bytes(2)
    content[last - 255 : last - 251] = b"\xff\xe2" + (253).to_bytes(2)
    content[last:] = b"\xff\xe2"
    assert read(bytes(content)) == 1
    assert read(b"\xff\xd8\xff\xe2\x00\x00" + bytes(20)) == 1


def test_the_segment_is_found_behind_others(read):
    encoded = jpeg(6)
    comment = b"\xff\xfe" + (2 + 60_000).to_bytes(2, "big") + b"\xff\xe1\0\0Exif\0\0" * 6000
    assert len(comment) == 60_004
    assert read(encoded[:2] + comment + encoded[2:]) == 6
    assert read(jpeg(8, icc=b"profile" * 9000)) == 8


def test_no_exif_and_other_formats_are_upright(read):
    assert read(jpeg()) == 1
    assert read(jpeg(before=[(0x010F, "maker")])) == 1
    png = io.BytesIO()
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(random_picture(9, 14)).save(png, "PNG", exif=exif)
    assert read(png.getvalue()) == 1
    assert read(b"") == 1
    assert read(b"\xff\xd8") == 1


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_values_outside_1_to_8_are_upright(value, read):
    assert read(jpeg(value)) == 1


def test_a_cut_anywhere_in_the_header_does_not_crash(read):
    encoded = jpeg(6)
    end = encoded.index(b"Exif\0\0") + 6 + 26
    results = [read(encoded[:length]) for length in range(end)]
    assert set(results) <= {1, 6}
    assert results[: end - 12] == [1] * (end - 12)


def test_garbage_in_the_segment_does_not_crash(read):
    encoded = bytearray(jpeg(6))
    begin = encoded.index(b"Exif\0\0") + 6
    rng = np.random.default_rng(0)
    for _ in range(200):
        garbage = encoded.copy()
        garbage[begin : begin + 26] = rng.integers(0, 256, 26, np.uint8).tobytes()
        assert 1 <= read(bytes(garbage)) <= 8
