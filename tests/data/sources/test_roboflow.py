"""Roboflow's masks: the names of its CSV, its three splits, and what has no counterpart."""

import pytest
from support.tool_exports import scenes, write, write_roboflow

from deeplab_tf.data.sources.choices import Choices
from deeplab_tf.data.sources.roboflow import roboflow_source
from deeplab_tf.errors import DeeplabError


@pytest.fixture
def export(tmp_path):
    write_roboflow(tmp_path, scenes(4))
    return tmp_path


def test_one_split_alone_gets_a_share_for_validation(export):
    source = roboflow_source(export / "train", Choices())
    assert source.classes.names == ("background", "road", "car")
    assert {split: len(pairs) for split, pairs in source.splits.items()} == {"train": 2, "val": 1}


def test_what_has_no_counterpart_is_said(export):
    (export / "train/frame_000_mask.png").unlink()
    (export / "train/frame_001.png").unlink()
    source = roboflow_source(export, Choices())
    assert {split: len(pairs) for split, pairs in source.splits.items()} == {"train": 1, "val": 1}
    assert [note.split(";")[0] for note in source.notes] == [
        "1 images have no mask and were left out",
        "1 masks have no image and were left out",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Pixel Value, Class\n0, background\n1, tree\n", "must have the same classes as"),
        ("Pixel Value, Class\n0, background\none, tree\n", "line 3: a line must be a pixel value"),
        ("Value, Class\n0, background\n", "line 2: a line must be a pixel value"),
        ("Pixel Value, Class\n0, background\n0, tree\n", "line 3: 0 or 'tree' comes twice"),
        ("", "is empty"),
    ],
)
def test_a_wrong_list_of_classes_is_named(export, content, message):
    write(export / "valid/_classes.csv", content)
    with pytest.raises(DeeplabError, match=f"valid/_classes.csv.*{message}"):
        roboflow_source(export, Choices())
