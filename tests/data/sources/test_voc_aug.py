"""trainaug: which images, whose masks, and what is said of a partial copy."""

import hashlib

import numpy as np
import pytest
from scipy.io import savemat
from support.tiny_voc import write_voc

from deeplab_tf.data.read_pair import read_pair
from deeplab_tf.data.records import open_records
from deeplab_tf.data.sources import voc_aug
from deeplab_tf.data.sources.matlab import read_mat
from deeplab_tf.data.sources.voc_aug import PUBLISHED, voc_aug_source
from deeplab_tf.data.write_records import write_records
from deeplab_tf.errors import DeeplabError

VOC_LISTS = {"train": ["v1", "v2"], "val": ["w1", "w2"], "trainval": ["v1", "v2", "w1", "w2"]}
# v2 and w1 have masks in both; s1 to s3 only in SBD.
SBD_LISTS = {"train": ["v2", "s1", "w1"], "val": ["s2", "s3"]}


def write_mat(path, labels):
    """Writes a file like those of SBD: a struct GTcls with a field Segmentation, among others."""
    savemat(path, {"GTcls": {"Boundaries": np.zeros(3), "Segmentation": labels}})


@pytest.fixture
def both(tmp_path):
    """A folder with VOCdevkit and benchmark_RELEASE, every file there."""
    voc = write_voc(tmp_path, test=["t1"], sbd=["s1", "s2", "s3"], **VOC_LISTS)
    (voc / "ImageSets" / "Segmentation" / "sbd.txt").unlink()
    for name in ("t1", "s1", "s2", "s3"):
        (voc / "SegmentationClass" / f"{name}.png").unlink()
    sbd = tmp_path / "benchmark_RELEASE" / "dataset"
    (sbd / "cls").mkdir(parents=True)
    for split, names in SBD_LISTS.items():
        (sbd / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
        for name in names:
            width, height = picture_size(voc, name)
            write_mat(sbd / "cls" / f"{name}.mat", np.full((height, width), 7, np.uint8))
    return tmp_path


def picture_size(voc, name):
    from PIL import Image

    return Image.open(voc / "JPEGImages" / f"{name}.jpg").size


def test_the_rule(both):
    """(VOC train, SBD train, SBD val) less VOC val; VOC's own mask where there is one."""
    splits = voc_aug_source(both).splits
    assert {name: [pair.id for pair in pairs] for name, pairs in splits.items()} == {
        "trainaug": ["s1", "s2", "s3", "v1", "v2"],
        "train": ["v1", "v2"],
        "val": ["w1", "w2"],
        "trainval": ["v1", "v2", "w1", "w2"],
        "test": ["t1"],
    }
    assert [pair.mask.path.suffix for pair in splits["trainaug"]] == [".mat"] * 3 + [".png"] * 2
    assert splits["test"][0].mask is None


def test_records_of_both_kinds_of_masks(both):
    records, _ = write_records(voc_aug_source(both), both / "data")
    assert records.classes.dataset == "voc_aug"
    assert records.split("trainaug").num_examples == 5
    # SBD's masks are only of class 7; VOC's random ones have 0, 1 and 20.
    pairs = voc_aug_source(both).splits["trainaug"]
    seventh = sum(read_pair(pair)[1].size for pair in pairs[:3])
    assert records.pixels["trainaug"][7] == seventh
    assert sum(records.pixels["test"][:-1]) == 0 and records.pixels["test"][-1] > 0
    with pytest.raises(DeeplabError, match="split 'test' of voc_aug has no labelled pixel"):
        open_records(both / "data", "voc_aug").labelled_split("test")


def test_the_published_lists_are_known_by_their_digest(both, monkeypatch):
    notes = voc_aug_source(both).notes
    assert len(notes) == 2
    assert "trainaug: the lists give 5 images that are not the 10,582" in notes[0]
    assert "val: the lists give 2 images that are not the 1,449" in notes[1]
    digest = hashlib.sha256(b"s1\ns2\ns3\nv1\nv2\n").hexdigest()
    monkeypatch.setattr(voc_aug, "PUBLISHED", {"trainaug": (5, digest)})
    assert voc_aug_source(both).notes == ()
    assert PUBLISHED["trainaug"][0] == 10_582 and PUBLISHED["val"][0] == 1_449


def test_a_partial_copy_is_built_and_said(both):
    (both / "benchmark_RELEASE/dataset/cls/s2.mat").unlink()
    (both / "VOCdevkit/VOC2012/JPEGImages/v1.jpg").unlink()
    source = voc_aug_source(both)
    assert [pair.id for pair in source.splits["trainaug"]] == ["s1", "s3", "v2"]
    assert (
        "trainaug: 2 of the 5 listed names have no image or no mask and were left out; the first "
        "is s2" in source.notes
    )
    assert any(note.startswith("train: 1 of the 2 listed names") for note in source.notes)


def test_sbds_own_copy_of_an_image_is_taken(both):
    voc, sbd = both / "VOCdevkit/VOC2012", both / "benchmark_RELEASE/dataset"
    (sbd / "img").mkdir()
    (voc / "JPEGImages/s1.jpg").rename(sbd / "img/s1.jpg")
    assert voc_aug_source(both).splits["trainaug"][0].image == sbd / "img/s1.jpg"


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt", r"val\.txt cannot be read"),
        ("benchmark_RELEASE/dataset/train.txt", r"train\.txt cannot be read"),
    ],
)
def test_a_missing_list_is_named(both, missing, message):
    (both / missing).unlink()
    with pytest.raises(DeeplabError, match=message):
        voc_aug_source(both)


def test_a_folder_without_sbd(both):
    (both / "benchmark_RELEASE").rename(both / "elsewhere")
    with pytest.raises(DeeplabError, match="has no benchmark_RELEASE/dataset/cls; unpack SBD's"):
        voc_aug_source(both)


def test_mat_files(tmp_path):
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    write_mat(tmp_path / "a.mat", labels)
    np.testing.assert_array_equal(read_mat(tmp_path / "a.mat"), labels)
    whole = (tmp_path / "a.mat").read_bytes()
    savemat(tmp_path / "other.mat", {"x": labels})
    write_mat(tmp_path / "text.mat", "seven")
    (tmp_path / "cut.mat").write_bytes(whole[:150])
    (tmp_path / "empty.mat").write_bytes(b"")
    (tmp_path / "png.mat").write_bytes(b"\x89PNG" * 50)
    for name in ("other", "text", "cut", "empty", "png"):
        with pytest.raises(DeeplabError, match=rf"mask .*{name}\.mat") as error:
            read_mat(tmp_path / f"{name}.mat")
        assert "\n" not in str(error.value)
