"""CVAT's mask export: names, colours and splits of its own files."""

import numpy as np
import pytest
from support.tool_exports import COLORS, scenes, write, write_cvat

from deeplab_tf.data.read_pair import read_decoded
from deeplab_tf.data.sources.choices import Choices
from deeplab_tf.data.sources.cvat_masks import cvat_masks_source
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOID


@pytest.fixture
def export(tmp_path):
    write_cvat(tmp_path, scenes(3))
    return tmp_path


def test_names_colours_and_lists_are_the_tools(export):
    (export / "ImageSets/Segmentation/default.txt").unlink()
    write(export / "ImageSets/Segmentation/Train.txt", "\ufeffframe_000\nframe_002\n")
    write(export / "ImageSets/Segmentation/Validation.txt", "frame_001\n")
    source = cvat_masks_source(export, Choices())
    assert source.classes.names == ("background", "road", "car")
    assert source.classes.palette == tuple(COLORS.values())
    assert {s: [p.id for p in pairs] for s, pairs in source.splits.items()} == {
        "train": ["frame_000", "frame_002"],
        "val": ["frame_001"],
    }


def test_a_class_is_void_on_request(export):
    source = cvat_masks_source(export, Choices(void=("road",)))
    assert source.classes.names == ("background", "car")
    labels = scenes(3)[0].labels(["background", "car", "road"])[0]
    labels[labels == 2] = VOID
    (pair,) = (p for pairs in source.splits.values() for p in pairs if p.id == "frame_000")
    np.testing.assert_array_equal(read_decoded(pair)[1], labels)
    with pytest.raises(DeeplabError, match="--void names 'bus', which is no class of"):
        cvat_masks_source(export, Choices(void=("bus",)))


def test_what_has_no_counterpart_is_said(export):
    (export / "SegmentationClass/frame_000.png").unlink()
    write(export / "ImageSets/Segmentation/default.txt", "frame_000\nframe_001\n")
    source = cvat_masks_source(export, Choices())
    assert [note.split(";")[0] for note in source.notes] == [
        "1 listed images have no mask and were left out",
        "1 masks are in no list and were left out",
        "1 images are in no list and were left out",
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("bus", "line 5: 'bus' must be name:red,green,blue::"),
        ("bus:1,2,300::", "line 5: .* must be name:red,green,blue::"),
        ("bus:0,0,142::", "line 5: .* has a name or colour of an earlier line"),
        ("car:1,2,3::", "line 5: .* has a name or colour of an earlier line"),
    ],
)
def test_a_wrong_label_map_is_named(export, line, message):
    file = export / "labelmap.txt"
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(DeeplabError, match=message):
        cvat_masks_source(export, Choices())


def test_an_unknown_colour_and_missing_images_are_named(export):
    file = export / "labelmap.txt"
    file.write_text(file.read_text().replace("0,0,142", "0,0,143"))
    pair = cvat_masks_source(export, Choices()).splits["val"][0]
    with pytest.raises(DeeplabError, match="has the colour #00008e"):
        read_decoded(pair)
    (export / "JPEGImages").rename(export / "elsewhere")
    with pytest.raises(DeeplabError, match="has no JPEGImages/; export again with 'Save images'"):
        cvat_masks_source(export, Choices())
