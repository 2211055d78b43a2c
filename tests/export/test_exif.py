"""The orientation of a JPEG or PNG in graph operations, held against Pillow."""

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps
from support.random_model import random_picture
from support.turned import ORIENTATION, PLACES, chunk, turned, with_chunk, xmp

from deeplab_tf.export.exif import exif_orientation, upright
from deeplab_tf.export.saved_model import decode_images
from deeplab_tf.images.files import decoded, pixels_of
from deeplab_tf.images.picture import MAX_BLOCKS, open_picture, orientation


@pytest.fixture(scope="module")
def read():
    """`exif_orientation` as it runs in a SavedModel: a graph, traced once."""
    graph = tf.function(exif_orientation, input_signature=[tf.TensorSpec((), tf.string)])
    return lambda encoded: int(graph(encoded))


def jpeg(number=None, *, endian=b"MM", before=(), icc=None) -> bytes:
    exif = Image.Exif()
    for tag, value in before:
        exif[tag] = value
    if number is not None:
        exif[ORIENTATION] = number
    exif.endian = {b"MM": ">", b"II": "<"}[endian]
    data = exif.tobytes()
    file = io.BytesIO()
    picture = Image.fromarray(random_picture(9, 14))
    picture.save(file, "JPEG", exif=data if len(exif) else b"", icc_profile=icc, quality=95)
    return file.getvalue()


@pytest.mark.parametrize("endian", [b"II", b"MM"])
@pytest.mark.parametrize("number", range(1, 9))
def test_all_orientations_in_both_byte_orders_are_as_pillow_turns_them(number, endian, read):
    encoded = jpeg(number, endian=endian, before=[(0x010F, "maker"), (0x0110, "model")])
    tiff = encoded.index(b"Exif\0\0") + 6
    assert encoded[tiff : tiff + 2] == endian
    assert read(encoded) == number
    stored = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))))
    np.testing.assert_array_equal(upright(stored, tf.constant(number)), expected)


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("place", PLACES)
def test_every_place_is_read_as_the_other_roads_read_it(place, number, read):
    encoded = turned(random_picture(9, 14), place, number)
    assert read(encoded) == number == orientation(decoded(Path(place), encoded))


def test_encoded_images_are_decoded_as_the_other_roads_decode_them():
    """The whole decoder of the signature `image_bytes`, on one picture of each place."""
    decode = tf.function(decode_images, input_signature=[tf.TensorSpec((None,), tf.string)])
    for place, number in zip(PLACES, (2, 3, 5, 6, 7, 8), strict=True):
        encoded = turned(random_picture(9, 14), place, number)
        expected = pixels_of(Path(place), encoded)
        np.testing.assert_array_equal(decode(tf.constant([encoded]))[0], expected)


def test_exif_counts_before_xmp(read):
    exif = Image.Exif()
    exif[ORIENTATION] = 3
    file = io.BytesIO()
    Image.fromarray(random_picture(9, 14)).save(file, "JPEG", exif=exif, xmp=xmp(6))
    assert read(file.getvalue()) == 3
    file = io.BytesIO()
    Image.fromarray(random_picture(9, 14)).save(file, "PNG", exif=exif)
    packet = b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(6)
    assert read(with_chunk(file.getvalue(), chunk(b"iTXt", packet))) == 3


def test_a_compressed_packet_is_refused_with_a_reason(read):
    file = io.BytesIO()
    Image.fromarray(random_picture(9, 14)).save(file, "PNG")
    packet = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp(6))
    with pytest.raises(tf.errors.InvalidArgumentError, match="the XMP packet is compressed; save"):
        read(with_chunk(file.getvalue(), chunk(b"iTXt", packet)))


@pytest.mark.timeout(60)
def test_segments_that_lead_nowhere_end(read):
    """A length of 0, a segment beyond the end, and more segments than are looked at."""
    assert read(b"\xff\xd8\xff\xe2\x00\x00" + bytes(20)) == 1
    assert read(b"\xff\xd8\xff\xe2\xff\xff" + bytes(20)) == 1
    assert read(b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffeXIf" + bytes(20)) == 1
    for countless in (b"\xff\xd8" + b"\xff\xe9\0\2" * MAX_BLOCKS, b"\xff\xd8" + b"a" * MAX_BLOCKS):
        with pytest.raises(tf.errors.InvalidArgumentError, match="more than 32,768 segments"):
            read(countless + bytes(20))


def test_the_segment_is_found_behind_others(read):
    encoded = jpeg(6)
    comment = b"\xff\xfe" + (2 + 60_000).to_bytes(2, "big") + b"\xff\xe1\0\0Exif\0\0" * 6000
    assert len(comment) == 60_004
    assert read(encoded[:2] + comment + encoded[2:]) == 6
    assert read(jpeg(8, icc=b"profile" * 9000)) == 8


def test_no_exif_and_other_formats_are_upright(read):
    assert read(jpeg()) == 1
    assert read(jpeg(before=[(0x010F, "maker")])) == 1
    webp = io.BytesIO()
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(random_picture(9, 14)).save(webp, "WEBP", exif=exif)
    assert read(webp.getvalue()) == 1
    assert read(b"") == read(b"\xff\xd8") == read(b"\x89PNG") == 1


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_values_outside_1_to_8_are_upright(value, read):
    assert read(jpeg(value)) == 1


def test_a_cut_anywhere_in_the_header_does_not_crash(read):
    encoded = jpeg(6)
    end = encoded.index(b"Exif\0\0") + 6 + 26
    results = [read(encoded[:length]) for length in range(end)]
    assert set(results) <= {1, 6}
    assert results[: end - 12] == [1] * (end - 12)


@pytest.mark.parametrize("endian", [b"II", b"MM"])
def test_a_changed_byte_is_read_as_the_other_roads_read_it(endian, read):
    """The types that EXIF forbids, counts, offsets and byte orders, each as Pillow takes it."""
    encoded = jpeg(6, endian=endian)
    begin = encoded.index(b"Exif\0\0") + 6
    results = set()
    for at in range(begin, begin + 26):
        for value in (0, 1, 3, 4, 6, 8, 9, 255):
            changed = encoded[:at] + bytes([value]) + encoded[at + 1 :]
            results.add(read(changed))
            assert read(changed) == orientation(open_picture(changed)), (at - begin, value)
    assert results >= {1, 3, 4, 6, 8}
