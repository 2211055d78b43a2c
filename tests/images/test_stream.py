import io
import os
import threading

import numpy as np
import pytest
from PIL import Image
from support.random_model import random_picture

from deeplab_tf.images.stream import JPEG, PNG, split_images


class Dripping(io.BytesIO):
    """Gives a few bytes a time, as a pipe may."""

    def __init__(self, content: bytes, drop: int):
        super().__init__(content)
        self.drop = drop

    def read1(self, size=-1, /):
        return super().read1(self.drop)


def encoded(kind: str, seed: int = 0, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(random_picture(40 + seed, 53, seed)).save(buffer, kind, **options)
    return buffer.getvalue()


def with_preview() -> bytes:
    """A JPEG with a whole JPEG inside its EXIF segment, as cameras write it."""
    preview = encoded("JPEG", 5)
    body = b"Exif\x00\x00" + preview
    photo = encoded("JPEG", 6)
    return photo[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2) + body + photo[2:]


WHOLE = [
    encoded("JPEG"),
    encoded("PNG", 1),
    encoded("JPEG", 2, progressive=True),
    encoded("JPEG", 3, restart_marker_blocks=1),
    with_preview(),
    encoded("PNG", 4),
]


@pytest.mark.parametrize("drop", [1, 7, 1 << 16])
def test_images_come_as_they_went_in(drop):
    assert list(split_images(Dripping(b"".join(WHOLE), drop))) == WHOLE


def test_nothing_gives_nothing():
    assert list(split_images(io.BytesIO())) == []


@pytest.mark.parametrize(
    "broken",
    [
        WHOLE[0][: len(WHOLE[0]) // 2],  # in the middle of its pixels
        WHOLE[0][:4] + b"\x00" * 30,  # no marker where one must be
        WHOLE[1][:20],
        PNG + b"\x00\x00\x00\x01\x00\x00\x00\x00" + b"x" * 50,  # a chunk without a name
    ],
)
def test_what_is_broken_ends_where_the_next_image_begins(broken):
    """Whatever is broken is given too, so that it is named, and costs no whole image."""
    parts = list(split_images(io.BytesIO(WHOLE[1] + broken + WHOLE[0] + broken + WHOLE[1])))
    assert [part for part in parts if part in WHOLE] == [WHOLE[1], WHOLE[0], WHOLE[1]]
    assert b"".join(parts) == WHOLE[1] + broken + WHOLE[0] + broken + WHOLE[1]


@pytest.mark.parametrize("between", [b"\r\n--x\r\nContent-Type: image/jpeg\r\n\r\n", b"\xff"])
def test_what_lies_between_images_is_left_out(between):
    """A camera's multipart answer has headers there."""
    stream = io.BytesIO(between + between.join(WHOLE) + between)
    assert list(split_images(stream)) == WHOLE


@pytest.mark.parametrize("whole", WHOLE[:2])
def test_a_cut_end_is_given_as_it_is(whole):
    assert list(split_images(io.BytesIO(whole + whole[:-9]))) == [whole, whole[:-9]]


def test_an_image_comes_before_the_next_one_is_sent():
    reading, writing = os.pipe()
    with open(reading, "rb") as stream, open(writing, "wb", buffering=0) as sender:
        images = split_images(stream)
        for image in WHOLE:
            threading.Thread(target=sender.write, args=(image,)).start()
            assert next(images) == image


def test_random_bytes_behind_a_signature_are_neither_lost_nor_endless():
    rng = np.random.default_rng(0)
    for _ in range(200):
        signature = JPEG if rng.random() < 0.5 else PNG
        content = signature + bytes(rng.integers(0, 0xD7, rng.integers(0, 90)).astype(np.uint8))
        # 0xD7 and more can be markers, behind which an image ends and others are left out.
        assert list(split_images(io.BytesIO(content + signature))) == [content, signature]
