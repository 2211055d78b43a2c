"""The comparison of two models, on logits written by hand."""

import numpy as np
import pytest
from PIL import Image
from support.geo_files import write_geotiff
from support.random_model import random_bands, random_picture

from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.data.sources.masks import IndexMask, plain_values
from deeplab_tf.data.sources.source import Pair, Source
from deeplab_tf.data.write_records import write_records
from deeplab_tf.errors import DeeplabError
from deeplab_tf.export.export_model import _held_apart
from deeplab_tf.export.images import (
    ComparedImage,
    data_set_images,
    file_images,
    fit_picture,
    hold_apart,
    shrink_picture,
)
from deeplab_tf.export.layer_noise import LayerNoise
from deeplab_tf.export.parity import ExportParity, Place, check, compare
from deeplab_tf.images.classes import SHAPES, VOC, VOID
from deeplab_tf.images.drawing import write_labels
from deeplab_tf.images.frame import predict_in_frame

IMAGES = [
    ComparedImage("a", np.zeros((4, 5, 3), np.uint8)),
    ComparedImage("b", np.ones((2, 5, 3), np.uint8)),
]


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
    assert parity == ExportParity(2, 29 / 30, 3.0, Place("b", row=1, column=3, class_index=0))


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
    parity = ExportParity(2, agreement, 0.5, Place("a", 0, 0, 0))
    if passes:
        check(parity, quantize, "it")
    else:
        with pytest.raises(DeeplabError, match=f"{agreement:.4%} .* difference 0.5 in a"):
            check(parity, quantize, "it")


def test_mean_iou_is_of_the_labelled_pixels_of_both():
    truth = np.array([[1, 1, 1, 1, VOID], [1, 1, 1, 0, 0]], np.uint8)

    def artefact(images):
        labels = np.ones(images.shape[:3], np.int32)
        labels[0, 0, :2] = 0  # two wrong, and the void pixel does not count
        return labels, None

    pictures = [IMAGES[0], IMAGES[1]._replace(mask=truth)]
    parity = compare(scores, artefact, pictures)
    assert parity.images == 2
    assert parity.largest_logit_difference is None and parity.where is None
    # The reference says 1 everywhere: 7 of 9 right, class 0 not found.
    assert parity.mean_iou == pytest.approx(((7 / 9 + 0) / 2, (5 / 9 + 0) / 2))
    assert parity.mean_iou_loss == pytest.approx(1 / 9)
    void = IMAGES[1]._replace(mask=np.full((2, 5), VOID, np.uint8))
    assert compare(scores, artefact, [void]).mean_iou is None


@pytest.mark.parametrize("quantize", ["dynamic", "int8"])
def test_int8_may_lose_a_hundredth_of_mean_iou_and_names_its_layers(quantize):
    parity = ExportParity(50, 0.5, None, None, mean_iou=(0.75, 0.741))
    check(parity, quantize, "it")
    parity = ExportParity(50, 0.999, None, None, mean_iou=(0.75, 0.739))
    noisiest = [LayerNoise("block1_conv", 0.5, 3.0), LayerNoise("logits", 0.1, 9.0)]
    with pytest.raises(DeeplabError, match="on 50 images is 0.7390, the Keras model's 0.7500") as e:
        check(parity, quantize, "it", noisiest)
    assert "the layers that lose most: block1_conv, logits; keep some with --keep_float" in str(e)
    with pytest.raises(DeeplabError, match="agree with the Keras model's on 96.0000%"):
        check(ExportParity(50, 0.96, None, None), quantize, "it")


def test_no_image_and_broken_logits_are_refused():
    with pytest.raises(DeeplabError, match="no image"):
        compare(scores, lambda images: (scores(images), scores(images)), [])
    with pytest.raises(DeeplabError, match="image a are not finite"):
        compare(lambda images: scores(images) * np.nan, lambda _: (None, np.zeros(1)), IMAGES)


MEAN = (123.15, 115.9, 103.06)


def test_a_small_picture_is_padded_with_the_mean_and_void():
    image = np.arange(7 * 4 * 3, dtype=np.uint8).reshape(7, 4, 3)
    fitted = fit_picture(ComparedImage("a", image, image[..., 0]), (8, 6), MEAN)
    assert fitted.inner == (7, 4)
    np.testing.assert_array_equal(fitted.image[:7, :4], image)
    np.testing.assert_array_equal(
        fitted.image[:, 4:], np.tile(np.uint8([123, 116, 103]), (8, 2, 1))
    )
    np.testing.assert_array_equal(fitted.mask[:7, :4], image[..., 0])
    assert (fitted.mask[7:] == VOID).all() and (fitted.mask[:, 4:] == VOID).all()
    assert fit_picture(ComparedImage("a", image), None, MEAN) == ComparedImage("a", image)


def test_a_large_picture_is_compared_as_deeplab_predict_shows_it_to_the_file():
    image = random_picture(90, 130)
    shown = []

    def run(framed):
        shown.append(framed[0])
        return framed[..., 0], None

    labels = predict_in_frame(image, (33, 65), np.uint8([123, 116, 103]), run)
    fitted = fit_picture(ComparedImage("a", image, labels), (33, 65), MEAN)
    np.testing.assert_array_equal(fitted.image, shown[0])
    assert fitted.inner == (33, 47)
    # The mask follows: the labels of the whole picture, shrunk again, are those of the frame.
    np.testing.assert_array_equal(fitted.mask[:33, :47], shown[0][:33, :47, 0])
    assert (fitted.mask[:, 47:] == VOID).all()


def test_images_of_a_data_set_are_its_own_pixels(tmp_path):
    pairs = []
    for name in ("a", "b", "c"):
        picture = random_picture(9, 14, seed=ord(name))
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
        write_labels(np.zeros((9, 14), np.uint8), SHAPES, tmp_path / f"{name}_mask.png")
        mask = IndexMask(tmp_path / f"{name}_mask.png", plain_values(SHAPES.num_classes, VOID))
        pairs.append(Pair(name, tmp_path / f"{name}.png", mask))
    write_records(Source(SHAPES, {"val": pairs}), tmp_path / "data")
    images = list(data_set_images(tmp_path / "data", "shapes", "val", 2))
    assert len(images) == 2
    for picture in images:
        expected = random_picture(9, 14, seed=ord(picture.name))
        np.testing.assert_array_equal(picture.image, expected)
        assert picture.mask is None
    labelled = data_set_images(tmp_path / "data", "shapes", "val", 2, SHAPES)
    for picture in labelled:
        np.testing.assert_array_equal(picture.mask, np.zeros((9, 14)))
    with pytest.raises(DeeplabError, match="trained on other classes"):
        data_set_images(tmp_path / "data", "shapes", "val", 2, VOC)
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
    assert [picture.name for picture in pairs] == [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    assert [picture.image[0, 0, 0] for picture in pairs] == [1, 2]
    with pytest.raises(DeeplabError, match="matches no image"):
        file_images(str(tmp_path / "*.jpg"), 2)


def test_padding_does_not_count():
    """A file that is wrong everywhere but in the padding is wrong."""
    picture = fit_picture(ComparedImage("a", np.full((2, 3, 3), 9, np.uint8)), (8, 8), (0, 0, 0))
    assert picture.inner == (2, 3)

    def logits(images):
        return np.eye(2, dtype=np.float32)[np.zeros(images.shape[:3], int)]

    def wrong_inside(images):
        labels = (images[..., 0] == 9).astype(int)
        return labels, logits(images)

    assert compare(logits, wrong_inside, [picture]).label_agreement == 0


@pytest.mark.parametrize(
    ("available", "calibration", "compared", "expected"),
    [
        (467, 100, 467, (100, 367)),  # the data set is dealt whole
        (1464, 100, 100, (100, 100)),
        (1000, 100, 8, (100, 8)),  # half of those that there are
        (5, 100, 100, (2, 3)),  # at most half are calibrated on
        (2, 100, 1, (1, 1)),
        (1, 100, 100, (1, 1)),  # nothing can be held apart
        (0, 100, 100, (0, 0)),
    ],
)
def test_images_to_calibrate_on_are_others_and_spread(available, calibration, compared, expected):
    first, second = hold_apart(available, calibration, compared)
    assert (len(first), len(second)) == expected
    if available > 1:
        assert sorted([*first, *second]) == [*range(sum(expected))]
        assert np.ptp(np.diff(first)) <= 1 if len(first) > 1 else first == [0]


def test_images_are_read_anew_for_both_and_equal_ones_are_not_calibrated_on():
    numbers = [0, 1, 2, 3, 4, 3]  # the image 3 under two names
    pictures = [ComparedImage(str(i), np.full((2, 2, 3), n)) for i, n in enumerate(numbers)]
    counts = []

    def read(count):
        counts.append(count)
        return iter(pictures[:count])

    calibration, compared = _held_apart(read, *hold_apart(6, 2, 4))
    assert [picture.name for picture in calibration] == ["0"]  # of 0 and 3
    assert [picture.name for picture in compared] == ["1", "2", "4", "5"]
    assert set(counts) == {4, 6}  # as far as is needed
    only = _held_apart(read, *hold_apart(1, 100, 100))
    assert [[picture.name for picture in each] for each in only] == [["0"], ["0"]]


@pytest.mark.parametrize("source", ["file", "records"])
def test_pixels_without_data_are_the_mean_for_calibration(source, tmp_path):
    """A strip of a file in nodata, through the working size and into a frame."""
    image_format = ImageFormat(2, 32, (0.3, 290.0), (0.1, 5.0), nodata=-9.0)
    pixels = random_bands(40, 60, image_format)
    pixels[:, :20] = -9
    write_geotiff(tmp_path / "a.tif", pixels)
    if source == "file":
        (picture,) = file_images(str(tmp_path / "a.tif"), 1, image_format)
    else:
        write_labels(np.zeros((40, 60), np.uint8), SHAPES, tmp_path / "a.png")
        mask = IndexMask(tmp_path / "a.png", plain_values(SHAPES.num_classes, VOID))
        pairs = {"val": [Pair("a", tmp_path / "a.tif", mask)]}
        write_records(Source(SHAPES, pairs, image_format=image_format), tmp_path / "data")
        (picture,) = data_set_images(tmp_path / "data", "shapes", "val", 1, SHAPES)
    assert (picture.image[:, :20] == 0).all()
    framed = fit_picture(shrink_picture(picture, 30), (25, 35), image_format.mean)
    assert framed.image[:20, :9].max() == 0 and framed.inner == (20, 30)
    normalised = (framed.to_calibrate - image_format.mean) / image_format.std
    assert np.abs(normalised[:, :9]).max() < 1e-4 < 0.1 < np.abs(normalised[:20, 15:30]).max() < 9
    whole = ComparedImage("b", pixels[:, 20:])
    assert whole.to_calibrate is whole.image
