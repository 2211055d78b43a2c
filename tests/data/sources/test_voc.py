"""Lists of a VOCdevkit become splits; what is missing is named."""

import pytest
from support.shared_data import SHARED, needs_shared_data
from support.tiny_voc import write_voc

from deeplab_tf.data.sources.voc import voc_source
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import SHAPES, VOC


def test_the_devkit_its_parent_and_voc2012_give_the_same_splits(tmp_path):
    folder = write_voc(tmp_path, train=["b", "a"], val=["c"], trainval=["b", "a", "c"])
    source = voc_source(folder)
    assert source.splits == voc_source(folder.parent).splits == voc_source(tmp_path).splits
    assert {name: [pair.id for pair in pairs] for name, pairs in source.splits.items()} == {
        "train": ["b", "a"],
        "trainval": ["b", "a", "c"],
        "val": ["c"],
    }
    pair = source.splits["val"][0]
    assert pair.image == folder / "JPEGImages" / "c.jpg"
    assert pair.mask.path == folder / "SegmentationClass" / "c.png"
    assert source.classes == VOC
    assert voc_source(folder, SHAPES).classes is SHAPES


def test_empty_lists_are_noted_and_left_out(tmp_path):
    source = voc_source(write_voc(tmp_path, train=["a"], empty=[]))
    assert list(source.splits) == ["train"]
    assert len(source.notes) == 1 and "empty.txt is empty" in source.notes[0]


def test_the_test_list_needs_no_masks(tmp_path):
    folder = write_voc(tmp_path, train=["a"], test=["t", "u"])
    (folder / "SegmentationClass" / "t.png").unlink()
    first, second = voc_source(folder).splits["test"]
    assert first.mask is None and second.mask.path == folder / "SegmentationClass" / "u.png"
    (folder / "ImageSets" / "Segmentation" / "train.txt").unlink()
    (folder / "SegmentationClass" / "u.png").unlink()
    with pytest.raises(DeeplabError, match="no list of images with masks"):
        voc_source(folder)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (
            lambda f: (f / "ImageSets/Segmentation/train.txt").write_text("a\nb\na\n"),
            r"train\.txt lists a twice",
        ),
        (
            lambda f: (f / "ImageSets/Segmentation/train.txt").write_text("\n\n"),
            r"no list of images with masks in .*Segmentation",
        ),
        (
            lambda f: (f / "ImageSets/Segmentation/train.txt").rename(
                f / "ImageSets/Segmentation/all.txt"
            ),
            r"all\.txt: 'all' cannot be the name of a split",
        ),
    ],
)
def test_a_bad_devkit_names_the_file(tmp_path, break_it, message):
    folder = write_voc(tmp_path, train=["a", "b"])
    break_it(folder)
    with pytest.raises(DeeplabError, match=message):
        voc_source(tmp_path)


def test_folders_that_are_no_devkit_are_named(tmp_path):
    with pytest.raises(DeeplabError, match="nowhere does not exist"):
        voc_source(tmp_path / "nowhere")
    with pytest.raises(DeeplabError, match="has no ImageSets/Segmentation"):
        voc_source(tmp_path)


@needs_shared_data
def test_the_real_voc_subset():
    source = voc_source(SHARED / "VOCdevkit")
    sizes = {name: len(pairs) for name, pairs in source.splits.items()}
    assert sizes == {"dev_train": 374, "dev_val": 93, "train": 467}
