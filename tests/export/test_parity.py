"""The comparison of two models, on logits written by hand."""

import numpy as np
import pytest
from PIL import Image
from random_model import random_picture

from deeplab_tf.data.labels import SHAPES, VOID
from deeplab_tf.data.masks import IndexMask, plain_values
from deeplab_tf.data.pictures import write_labels
from deeplab_tf.data.source import Pair, Source
from deeplab_tf.data.write_records import write_records
from deeplab_tf.errors import DeeplabError
from deeplab_tf.export.images import data_set_images, file_images, fit
from deeplab_tf.export.parity import Parity, Place, check, compare

IMAGES = [("a", np.zeros((4, 5, 3), np.uint8)), ("b", np.ones((2, 5, 3), np.uint8))]


def scores(images):
    """Class 1 wins everywhere, by 1."""
    return np.tile(np.float32([0, 1, 0]), (*images.shape[:3], 1))


def test_agreement_is_over_pixels_and_the_difference_has_its_place():
    def artefact(images):
        logits = scores(images)
        if images[0, 0, 0, 0] == 1:  # in image b
            logits[0, 1, 3] = [3, 1, 0]
            logits[0, 0, 2, 2] = -0.5
        return logits.argmax(axis=-1), logits

    parity = compare(scores, artefact, IMAGES)
    assert parity == Parity(2, 29 / 30, 3.0, Place("b", row=1, column=3, class_index=0))


def test_the_labels_are_the_artefacts_own():
    parity = compare(scores, lambda images: (np.zeros(images.shape[:3]), scores(images)), IMAGES)
    assert parity.label_agreement == 0.0
    assert parity.largest_logit_difference == 0.0


@pytest.mark.parametrize(
    ("agreement", "quantize", "passes"),
    [
        (0.999, "none", True),
        (0.99899, "none", False),
        (0.995, "float16", True),
        (0.99499, "float16", False),
    ],
)
def test_thresholds(agreement, quantize, passes):
    parity = Parity(2, agreement, 0.5, Place("a", 0, 0, 0))
    if passes:
        check(parity, quantize, "it")
    else:
        with pytest.raises(DeeplabError, match=f"{agreement:.4%} .* difference 0.5 in a"):
            check(parity, quantize, "it")


def test_no_image_and_broken_logits_are_refused():
    with pytest.raises(DeeplabError, match="no image"):
        compare(scores, lambda images: (scores(images), scores(images)), [])
    with pytest.raises(DeeplabError, match="image a are not finite"):
        compare(lambda images: scores(images) * np.nan, lambda _: (None, np.zeros(1)), IMAGES)


def test_fit_takes_the_middle_or_pads():
    image = np.arange(7 * 4 * 3, dtype=np.uint8).reshape(7, 4, 3)
    fitted = fit(image, (3, 6), (123.15, 115.9, 103.06))
    np.testing.assert_array_equal(fitted[:, :4], image[2:5])
    np.testing.assert_array_equal(fitted[:, 4:], np.tile(np.uint8([123, 116, 103]), (3, 2, 1)))
    np.testing.assert_array_equal(fit(image, (7, 4), (0, 0, 0)), image)


def test_images_of_a_data_set_are_its_own_pixels(tmp_path):
    pairs = []
    for name in ("a", "b", "c"):
        picture = random_picture(9, 14, seed=ord(name))
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
        write_labels(np.zeros((9, 14), np.uint8), SHAPES, tmp_path / f"{name}_mask.png")
        mask = IndexMask(tmp_path / f"{name}_mask.png", plain_values(SHAPES.num_classes, VOID))
        pairs.append(Pair(name, tmp_path / f"{name}.png", mask))
    write_records(Source(SHAPES, {"val": pairs}), tmp_path / "data")
    images = dict(data_set_images(tmp_path / "data", "shapes", "val", 2))
    assert len(images) == 2
    for name, image in images.items():
        np.testing.assert_array_equal(image, random_picture(9, 14, seed=ord(name)))
    with pytest.raises(DeeplabError, match="has no split 'test'; splits are val"):
        data_set_images(tmp_path / "data", "shapes", "test", 2)
    (file,) = (tmp_path / "data").rglob("*tfrecord*")
    content = bytearray(file.read_bytes())
    content[40] ^= 255
    file.write_bytes(content)
    with pytest.raises(DeeplabError, match="corrupt"):
        list(data_set_images(tmp_path / "data", "shapes", "val", 2))


def test_files_are_taken_by_name_up_to_the_count(tmp_path):
    for index, name in enumerate(["c.png", "a.png", "b.png"]):
        Image.new("RGB", (3, 2), (index, 0, 0)).save(tmp_path / name)
    pairs = list(file_images(str(tmp_path / "*.png"), 2))
    assert [name for name, _ in pairs] == [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    assert [image[0, 0, 0] for _, image in pairs] == [1, 2]
    with pytest.raises(DeeplabError, match="matches no image"):
        file_images(str(tmp_path / "*.jpg"), 2)
