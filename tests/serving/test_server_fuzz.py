"""Mutated images: an answer at the image's size, or a 4xx that says why; never a fault.

DEEPLAB_FUZZ_CASES sets the number of cases (250), so that more can be tried by hand:

    DEEPLAB_FUZZ_CASES=1000 pytest tests/serving/test_server_fuzz.py
"""

import asyncio
import os

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.fuzz import broken
from support.random_model import random_picture
from support.serving_requests import PREDICT, client, encode, rows

from deeplab_tf.serving.limits import Limits
from deeplab_tf.serving.service import Service

CASES = int(os.environ.get("DEEPLAB_FUZZ_CASES", "250"))
MAX_PIXELS = 60_000
PICTURE = random_picture(18, 25)
EXIF = Image.Exif()
EXIF[0x0112] = 8
WHOLE = [
    encode(PICTURE),
    encode(PICTURE, "JPEG"),
    encode(PICTURE, "JPEG", progressive=True),
    encode(PICTURE, "JPEG", exif=EXIF),
    encode(PICTURE[..., 0]),
]
HEADER = 64
"""Bytes at the beginning that every other change falls into: most of a file is pixels."""


@st.composite
def mutated(draw) -> bytes:
    """Draws an image file with a fault in it."""
    return draw(broken(draw(st.sampled_from(WHOLE)), HEADER))


def test_a_mutated_image_is_answered_or_refused(model, reference):
    service = Service(model, Limits(max_pixels=MAX_PIXELS))
    answered = refused = 0

    with asyncio.Runner() as runner:
        http = client(service)

        @settings(max_examples=CASES, deadline=None, derandomize=True)
        @given(data=mutated())
        def check(data):
            nonlocal answered, refused
            answer = runner.run(http.post(PREDICT, content=rows(data)))
            content = answer.json()
            if answer.status_code == 200:
                (row,) = content["predictions"]
                labels = np.array(row["labels"])
                assert labels.ndim == 2 and labels.size <= MAX_PIXELS
                expected = reference("image_bytes", [data])["labels"][0]
                np.testing.assert_array_equal(labels, expected)
                answered += 1
            else:
                assert answer.status_code == 400, answer.text
                assert list(content) == ["error"] and len(content["error"]) > 10
                refused += 1

        check()
        good = runner.run(http.post(PREDICT, content=rows(WHOLE[0])))
        runner.run(http.aclose())
    assert good.status_code == 200
    # Neither kind is an accident.
    assert answered > CASES // 20 and refused > CASES // 20
