"""Broken exports of each tool: labels of the classes, or an error in one line; never a fault.

DEEPLAB_FUZZ_CASES sets the number of cases for each tool (20), so that more can be tried by hand:

    DEEPLAB_FUZZ_CASES=500 pytest tests/data/sources/test_tool_fuzz.py
"""

import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fuzz import JSON, broken, cases, places, with_change
from support.tool_exports import HEIGHT, WIDTH, WRITERS, scenes

from deeplab_tf.data.read_pair import read_decoded
from deeplab_tf.data.sources.choices import Choices
from deeplab_tf.data.sources.find_export import find_export
from deeplab_tf.data.sources.known import TOOLS
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOID

CASES = int(os.environ.get("DEEPLAB_FUZZ_CASES", "20"))
IMAGES = (".png", ".jpg")


@st.composite
def changed(draw, whole: bytes, is_json: bool) -> bytes:
    """Draws a file with bytes changed or, half of the times for JSON, with another value in it."""
    if is_json and draw(st.booleans()):
        content = json.loads(whole)
        where = draw(st.sampled_from([*places(content)]))
        value = draw(
            JSON | st.sampled_from(["point", "circle", "tree", [[1, 2]], [[1, 2], [3, 4]]])
        )
        return json.dumps(with_change(content, where, value, draw(st.booleans()))).encode()
    return draw(broken(whole))


def read(tool, root):
    """The names of the classes, and each image's mask or error, by the image's name."""
    source = TOOLS[tool].read(root, Choices())
    found = {}
    for pair in [pair for pairs in source.splits.values() for pair in pairs]:
        try:
            found[pair.image.stem] = read_decoded(pair)[1]
        except DeeplabError as error:
            assert "\n" not in str(error)
            found[pair.image.stem] = error
    return source.classes.names, found


@pytest.mark.parametrize("tool", WRITERS)
def test_a_broken_file_gives_labels_of_the_classes_or_is_named(tool, tmp_path):
    WRITERS[tool](tmp_path, scenes(3))
    expected_names, expected = read(tool, tmp_path)
    files = sorted(p for p in tmp_path.rglob("*") if p.is_file() and p.suffix not in IMAGES)
    whole = {file: file.read_bytes() for file in files}
    refused = 0

    @cases(CASES)
    @given(draw=st.data())
    def check(draw):
        nonlocal refused
        file = draw.draw(st.sampled_from(files))
        file.write_bytes(draw.draw(changed(whole[file], file.suffix == ".json")))
        try:
            find_export(tmp_path)
            names, found = read(tool, tmp_path)
        except DeeplabError as error:
            assert "\n" not in str(error) and len(str(error)) < 900
            refused += 1
        else:
            for stem, mask in found.items():
                if isinstance(mask, DeeplabError):
                    refused += 1
                    continue
                assert mask.shape == (HEIGHT, WIDTH)
                assert np.isin(mask, [*range(len(names)), VOID]).all()
                of_another_image = any(s in file.name for s in expected) and stem not in file.name
                if of_another_image and names == expected_names:
                    np.testing.assert_array_equal(mask, expected[stem])
        finally:
            file.write_bytes(whole[file])

    check()
    assert refused
