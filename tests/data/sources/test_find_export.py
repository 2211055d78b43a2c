"""The tool that wrote a folder is found, and a folder of one's own stays one."""

import pytest
from support.tiny_folder import BY_NUMBER, write_folder
from support.tool_exports import WRITERS, scenes, write, write_coco_json, write_labelme

from deeplab_tf.data.sources.choices import Choices
from deeplab_tf.data.sources.find_export import find_export
from deeplab_tf.data.sources.known import DATA_SETS, TOOLS
from deeplab_tf.errors import DeeplabError


def test_every_tool_has_a_writer_and_names_no_data_set():
    assert WRITERS.keys() == TOOLS.keys()
    assert not TOOLS.keys() & DATA_SETS.keys()


def test_a_folder_of_masks_is_ones_own_whatever_lies_beside_it(tmp_path):
    write_folder(tmp_path, BY_NUMBER)
    write_coco_json(tmp_path, scenes(1))
    assert find_export(tmp_path) is None
    assert find_export(tmp_path / "gone") is None


def test_a_folder_of_two_exports_needs_a_choice(tmp_path):
    write_labelme(tmp_path, scenes(1))
    write_coco_json(tmp_path, scenes(1))
    with pytest.raises(DeeplabError, match="--dataset=labelme or --dataset=coco_json"):
        find_export(tmp_path)


@pytest.mark.parametrize(
    ("tool", "choices", "flag"),
    [
        ("cvat", {"on_top": "later"}, "--on_top"),
        ("roboflow", {"unlabelled": "skip"}, "--unlabelled"),
        ("labelme", {"class_attribute": "a"}, "--class_attribute"),
    ],
)
def test_a_choice_without_meaning_is_refused(tool, choices, flag, tmp_path):
    with pytest.raises(DeeplabError, match=f"{flag} has no meaning for .*; leave the flag out"):
        TOOLS[tool].read(tmp_path, Choices(**choices))


@pytest.mark.parametrize("tool", TOOLS)
def test_another_folder_is_refused_with_what_is_missing(tool, tmp_path):
    with pytest.raises(DeeplabError, match="gone does not exist; give the unpacked export"):
        TOOLS[tool].read(tmp_path / "gone", Choices())
    write(tmp_path / "notes.json", {"a": 1})
    with pytest.raises(DeeplabError) as caught:
        TOOLS[tool].read(tmp_path, Choices())
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
