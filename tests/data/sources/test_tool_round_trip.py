"""Drawn truth in each tool's form becomes records that equal the truth, pixel by pixel."""

import numpy as np
import pytest
from support.tool_exports import EXACT, WRITERS, scenes

from deeplab_tf.data.check.doctor import examine
from deeplab_tf.data.pipeline import evaluation_images
from deeplab_tf.data.sources.choices import Choices
from deeplab_tf.data.sources.find_export import find_export
from deeplab_tf.data.sources.known import TOOLS
from deeplab_tf.data.write_records import write_records
from deeplab_tf.errors import DeeplabError

# A tool without a list of classes gets them in the order of the alphabet.
SORTED = ("labelme", "via", "label_studio", "rle_csv")


@pytest.mark.parametrize("tool", WRITERS)
def test_records_equal_the_drawn_truth(tool, tmp_path):
    """Pixels whose centres are within 0.25 of an outline may go either way."""
    drawn = scenes(holes=tool in (*EXACT, "supervisely"))
    root = tmp_path / "Streets 1"
    WRITERS[tool](root, drawn)
    found, _ = find_export(root) or pytest.fail("not found")
    assert found == tool
    source = TOOLS[tool].read(root, Choices())
    names = ("background", "car", "road") if tool in SORTED else ("background", "road", "car")
    assert source.classes.names == names and source.classes.dataset == "streets_1"
    assert {split: len(pairs) for split, pairs in source.splits.items()} == {"train": 3, "val": 1}
    records, _ = write_records(source, tmp_path / "data")
    by_name = {scene.name: scene for scene in drawn}
    for split in ("train", "val"):
        for id_, photo, mask in evaluation_images(records.split(split)).as_numpy_iterator():
            scene = by_name.pop(id_.decode().rpartition("/")[2])
            np.testing.assert_array_equal(photo, scene.photo())
            labels, edge = scene.labels(names)
            edge &= tool not in EXACT
            np.testing.assert_array_equal(mask[~edge], labels[~edge])
            assert edge.mean() < 0.06 and {*np.unique(mask)} == {0, 1, 2}
    assert not by_name


def outcome(tool, root):
    """Everything that the user reads about an export: notes and errors."""
    try:
        source = TOOLS[tool].read(root, Choices())
    except DeeplabError as error:
        return [str(error)]
    return [*source.notes, *examine(source).errors]


@pytest.mark.parametrize("tool", WRITERS)
def test_nothing_is_lost_without_a_word(tool, tmp_path):
    """An image that is gone, and one that nobody annotated, are named."""
    WRITERS[tool](tmp_path, scenes(3))
    before = outcome(tool, tmp_path)
    image = next(p for p in sorted(tmp_path.rglob("frame_000.png")) if "Class" not in p.parent.name)
    image.rename(image.with_name("unlabelled.png"))
    after = [line for line in outcome(tool, tmp_path) if line not in before]
    assert any("frame_000" in line for line in after)
    assert any("unlabelled" in line for line in after)
