"""The test server's archive: what is in it, and what is refused."""

import dataclasses
import io
import tarfile

import numpy as np
import pytest
from PIL import Image
from support.tiny_voc import write_voc

from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import SHAPES, VOC
from deeplab_tf.images.drawing import write_labels
from deeplab_tf.prediction.inputs import listed_images
from deeplab_tf.prediction.submission import check_classes, check_submission, write_submission

IDS = ["2008_000006", "2008_000011", "2008_000012"]


@pytest.fixture
def voc(tmp_path):
    """A VOC2012 folder with a list of ids, and one image more."""
    folder = write_voc(tmp_path, test=IDS, other=["2009_000001"])
    return folder


@pytest.fixture
def images(voc):
    return [voc / "JPEGImages" / f"{name}.jpg" for name in IDS]


@pytest.fixture
def predictions(images, tmp_path):
    """Random labels of every class at the images' sizes."""
    folder = tmp_path / "predictions"
    for seed, image in enumerate(images):
        width, height = Image.open(image).size
        labels = np.random.default_rng(seed).integers(0, 21, (height, width)).astype(np.uint8)
        write_labels(labels, VOC, folder / f"{image.stem}.png")
    return folder


def test_archive_has_the_servers_names_and_the_labels(images, predictions, tmp_path):
    archive = tmp_path / "results.tar.gz"
    write_submission(images, predictions, archive)
    with tarfile.open(archive, "r:gz") as tar:
        assert tar.getnames() == [
            "results/VOC2012/Segmentation/comp6_test_cls/2008_000006.png",
            "results/VOC2012/Segmentation/comp6_test_cls/2008_000011.png",
            "results/VOC2012/Segmentation/comp6_test_cls/2008_000012.png",
        ]
        for member, image in zip(tar, images, strict=True):
            packed = Image.open(tar.extractfile(member))
            assert packed.mode == "P"
            assert (member.uname, member.uid) == ("", 0)
            assert packed.getpalette()[3:6] == [128, 0, 0]  # aeroplane
            written = Image.open(predictions / f"{image.stem}.png")
            np.testing.assert_array_equal(np.asarray(packed), np.asarray(written))
    assert sorted(path.name for path in tmp_path.glob("*.tar.gz")) == ["results.tar.gz"]


def _grey(labels):
    return Image.fromarray(labels)


def _own_palette(labels):
    image = Image.fromarray(labels)
    image.putpalette([0, 0, 0, 1, 2, 3])
    return image


def _indexed(labels):
    image = Image.fromarray(labels)
    image.putpalette(VOC.flat_palette())
    return image


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda shape: _grey(np.zeros(shape, np.uint8)), "000011.png must be an indexed PNG"),
        (lambda shape: _own_palette(np.zeros(shape, np.uint8)), "must have VOC's palette"),
        (lambda shape: _indexed(np.zeros(shape[::-1], np.uint8)), "pixels, as its image"),
        (lambda shape: _indexed(np.full(shape, 255, np.uint8)), "classes 0 to 20. Received: 255"),
    ],
)
def test_what_the_server_would_refuse_is_refused_here(images, predictions, tmp_path, draw, message):
    width, height = Image.open(images[1]).size
    assert width != height
    draw((height, width)).save(predictions / f"{images[1].stem}.png")
    with pytest.raises(DeeplabError, match=message):
        write_submission(images, predictions, tmp_path / "results.tar.gz")
    assert not list(tmp_path.glob("*.tar.gz"))


def test_a_cut_png_is_named(images, predictions, tmp_path):
    path = predictions / f"{images[1].stem}.png"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DeeplabError, match=r"000011.png in .*/results.tar.gz is no whole PNG"):
        write_submission(images, predictions, tmp_path / "results.tar.gz")


def test_a_missing_prediction_is_named(images, predictions, tmp_path):
    (predictions / f"{images[2].stem}.png").unlink()
    with pytest.raises(DeeplabError, match="2008_000012.png, the prediction of"):
        write_submission(images, predictions, tmp_path / "results.tar.gz")


def test_archive_is_held_to_the_list(images, predictions, tmp_path):
    archive = tmp_path / "results.tar.gz"
    write_submission(images, predictions, archive)
    check_submission(archive, images)
    with pytest.raises(DeeplabError, match="3 members for 2 images.*2008_000012"):
        check_submission(archive, images[:2])
    with tarfile.open(archive, "w:gz") as tar:
        for _ in range(2):
            tar.addfile(tarfile.TarInfo("a.png"), io.BytesIO())
    with pytest.raises(DeeplabError, match="2 members for 3 images"):
        check_submission(archive, images)
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(DeeplabError, match="cannot be read"):
        check_submission(archive, images)


def test_only_vocs_classes_can_be_submitted():
    check_classes(VOC)
    with pytest.raises(DeeplabError, match="VOC's 21 classes .* has the 6 classes of shapes"):
        check_classes(SHAPES)
    grey = dataclasses.replace(VOC, palette=((9, 9, 9), *VOC.palette[1:]))
    with pytest.raises(DeeplabError, match="classes and palette"):
        check_classes(grey)


def test_list_picks_images_in_its_order(voc):
    images = sorted((voc / "JPEGImages").iterdir())
    assert len(images) == 4
    listed = voc / "ImageSets" / "Segmentation" / "test.txt"
    listed.write_text("2008_000012\n2008_000006\n")
    assert [path.stem for path in listed_images(images, listed)] == ["2008_000012", "2008_000006"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no name"),
        ("2008_000006 2008_000006", "has 2008_000006 more than once"),
        ("2008_000006 2010_000001", "1 of the 2 names.*2010_000001 names 0"),
    ],
)
def test_wrong_lists(voc, text, message):
    listed = voc / "list.txt"
    listed.write_text(text)
    with pytest.raises(DeeplabError, match=message):
        listed_images(sorted((voc / "JPEGImages").iterdir()), listed)
    listed.unlink()
    with pytest.raises(DeeplabError, match="cannot be read"):
        listed_images([], listed)
