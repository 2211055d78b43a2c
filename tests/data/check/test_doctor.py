"""The doctor: what it counts, what it warns of, what it refuses, each in a data set made for it."""

import shutil

import numpy as np
import pytest
from PIL import Image
from support.shared_data import SHARED, needs_shared_data
from support.tiny_voc import save_mask, write_voc

from deeplab_tf.data.check.doctor import examine, format_report, report_to_dict
from deeplab_tf.data.check.results import write_check
from deeplab_tf.data.sources.camvid import camvid_source
from deeplab_tf.data.sources.voc import voc_source
from deeplab_tf.errors import DeeplabError


def mask_of(*labels):
    """A mask 10 pixels high with a column of each label."""
    return np.tile(np.array(labels, np.uint8), (10, 1))


def image_like(folder, name, mask, seed):
    noise = np.random.default_rng(seed).integers(0, 256, (*mask.shape, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "JPEGImages" / f"{name}.jpg")
    save_mask(folder, name, mask)


@pytest.fixture
def folder(tmp_path):
    folder = write_voc(tmp_path, train=["a", "b", "c"], val=["d", "e"])
    for seed, name in enumerate("abcde"):
        image_like(folder, name, mask_of(0, 0, 0, 15, 255), seed)
    return folder


def test_pixels_images_and_sizes_are_counted(folder):
    image_like(folder, "b", mask_of(*[0] * 7, 3), seed=9)
    report = examine(voc_source(folder))
    assert report.errors == []
    found = report_to_dict(report)
    expected = [0] * 22
    expected[0], expected[3], expected[15], expected[21] = 130, 10, 20, 20
    assert found["pixels"]["train"] == expected
    assert found["images"] == {"train": 3, "val": 2}
    assert [n for n in found["images_by_class"]["train"] if n] == [3, 1, 2]
    assert found["sizes"] == {"train": {"5x10": 2, "8x10": 1}, "val": {"5x10": 2}}
    text = format_report(report)
    sizes = text[text.index("sizes\n") :].splitlines()
    assert sizes[2].split() == ["train", "5x10", "8x10", "5x10", "67%", "2"]
    assert "balance of train: background 81.2%, bird 6.25%: 13 to 1" in text
    assert text.endswith("no errors\n")


def test_a_validation_picture_in_the_training_set_is_an_error_by_its_pixels(folder):
    picture = Image.open(folder / "JPEGImages" / "d.jpg")
    picture.load()
    picture.save(folder / "JPEGImages" / "b.jpg", "PNG")  # other bytes, the same pixels
    report = examine(voc_source(folder))
    assert report.errors == [
        "train/b and val/d are the same picture, and val must not be trained on; "
        "remove one of the two from its list"
    ]
    healthy = report.healthy()
    assert [pair.id for pair in healthy.splits["train"]] == ["a", "c"]
    assert [pair.id for pair in healthy.splits["val"]] == ["d", "e"]
    assert examine(healthy).errors == []


def test_every_pair_that_cannot_be_used_is_named_once(folder):
    (folder / "ImageSets/Segmentation/trainval.txt").write_text("a\nb\nc\nd\ne\n")
    (folder / "SegmentationClass" / "a.png").unlink()
    image = folder / "JPEGImages" / "b.jpg"
    image.write_bytes(image.read_bytes()[:-30])
    save_mask(folder, "d", mask_of(0, 0, 99, 0, 0))
    report = examine(voc_source(folder))
    assert len(report.errors) == 3
    for words in (
        "b.jpg cannot be read",
        "a.png is missing",
        "d.png has label 99 at pixel x=2, y=",
    ):
        assert sum(words in error for error in report.errors) == 1
    splits = report.healthy().splits
    assert {name: [pair.id for pair in pairs] for name, pairs in splits.items()} == {
        "train": ["c"],
        "trainval": ["c", "e"],
        "val": ["e"],
    }
    assert "and 1 more errors" in format_report(report, most=2)


def test_nothing_left_of_a_split_is_refused(folder):
    for name in "de":
        (folder / "SegmentationClass" / f"{name}.png").write_bytes(b"")
    with pytest.raises(DeeplabError, match=r"none of the 2 images of val can be used.*d\.png"):
        examine(voc_source(folder)).healthy()


def test_what_may_be_meant_so_is_a_warning(folder):
    save_mask(folder, "a", mask_of(255, 255, 255, 255, 255))
    save_mask(folder, "b", mask_of(255, 255, 255, 0, 0))
    shutil.copy(folder / "JPEGImages" / "a.jpg", folder / "JPEGImages" / "c.jpg")
    (folder / "ImageSets/Segmentation/trainval.txt").write_text("a\nb\nc\nd\n")
    report = examine(voc_source(folder))
    assert report.errors == []
    absent = [warning for warning in report.warnings if "no pixel of" in warning]
    assert len(absent) == 3 and "aeroplane, bicycle" in absent[0]
    assert {warning for warning in report.warnings if warning not in absent} == {
        "60% of the pixels of train are void, and no training sees void pixels",
        "1 masks of train are void everywhere",
        "1 pictures occur more than once in train; the first are a and c",
        "1 masks of trainval are void everywhere",
        "1 pictures occur more than once in trainval; the first are a and c",
        "trainval has 1 of the 2 pictures of val: a model that is trained on trainval "
        "cannot be measured on val",
    }


def test_the_check_leaves_a_report_and_a_sheet_of_coloured_pictures(folder, tmp_path):
    (folder / "JPEGImages" / "a.jpg").write_bytes(b"")
    Image.new("RGB", (120, 120)).save(folder / "JPEGImages" / "d.jpg")
    save_mask(folder, "d", np.full((120, 120), 15, np.uint8))
    write_check(examine(voc_source(folder)), tmp_path / "check")
    assert sorted(path.name for path in (tmp_path / "check").iterdir()) == [
        "contact_sheet.jpg",
        "report.json",
        "report.txt",
    ]
    assert "error: image" in (tmp_path / "check" / "report.txt").read_text()
    sheet = np.asarray(Image.open(tmp_path / "check" / "contact_sheet.jpg"))
    # Person is (192, 128, 128) in VOC's palette, here at an opacity of 0.55 over black.
    assert (np.abs(sheet.astype(int) - (106, 70, 70)).max(-1) < 8).sum() > 0.95 * 120 * 120


def test_a_data_set_of_only_test_images_has_no_sheet(tmp_path):
    folder = write_voc(tmp_path, train=["a"], test=["t"])
    (folder / "SegmentationClass" / "t.png").unlink()
    source = voc_source(folder)
    del source.splits["train"]
    report = examine(source)
    assert report.errors == report.warnings == []
    write_check(report, tmp_path / "check")
    assert not (tmp_path / "check" / "contact_sheet.jpg").exists()


@needs_shared_data
def test_real_camvid_is_healthy_and_its_rare_classes_show():
    source = camvid_source(SHARED / "camvid")
    source.splits = {name: pairs[:40] for name, pairs in source.splits.items()}
    report = examine(source)
    assert report.errors == []
    assert report_to_dict(report)["sizes"]["train"] == {"480x360": 40}
    expected = np.zeros(12, int)
    for pair in source.splits["val"]:
        expected += np.bincount(np.asarray(Image.open(pair.mask.path)).ravel(), minlength=12)
    assert report.pixels["val"] == expected.tolist()


def test_images_that_exif_turns_without_a_trace_in_the_sizes_are_warned_of(folder):
    for name, size, orientation in (("a", (10, 20), 3), ("b", (20, 10), 6), ("c", (10, 10), 6)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = folder / "JPEGImages" / f"{name}.jpg"
        Image.new("RGB", size, ord(name)).save(path, exif=exif)
        upright = size[::-1] if orientation == 6 else size
        save_mask(folder, name, np.zeros(upright[::-1], np.uint8))
    (folder / "ImageSets" / "Segmentation" / "train.txt").write_text("a\nb\nc\n")
    report = examine(voc_source(folder.parents[0]))
    (warning,) = [line for line in report.warnings if "EXIF" in line]
    assert warning.startswith("2 images of train are turned by their EXIF orientation")
    assert f"the first is {folder}/JPEGImages/a.jpg" in warning
