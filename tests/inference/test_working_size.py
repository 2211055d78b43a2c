"""Images larger than the training's, on every road from pixels to labels."""

import types
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from support.random_model import random_experiment, random_picture, random_trained_model

import deeplab_tf
from deeplab_tf.artefacts.trained_model import TrainedModel, save_model
from deeplab_tf.config import Backbone, EvaluateConfig, Experiment, Fit, ModelConfig
from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.errors import DeeplabError
from deeplab_tf.export.litert import Options, write_litert
from deeplab_tf.export.onnx_model import write_onnx
from deeplab_tf.export.saved_model import Serving, write_saved_model
from deeplab_tf.images import resampling
from deeplab_tf.images.classes import SHAPES
from deeplab_tf.images.resampling import (
    enlarge,
    enlarge_by_strips,
    enlarge_labels,
    shrink_images,
    shrunk_size,
)
from deeplab_tf.inference import strategies
from deeplab_tf.inference.predictor import load_predictor
from deeplab_tf.inference.strategies import images_to_labels, images_to_probabilities
from deeplab_tf.inference.working_size import (
    WorkingSize,
    working_size_of,
    working_size_of_saved_model,
)
from deeplab_tf.models import build_model

LONGEST = 65
SAME = 0.998
"""The share of equal labels on two roads: between classes that are as likely, rounding decides."""
SIZES = [(260, 200), (66, 30), (40, 300), (200, 1)]


def sized(longest: int | None = LONGEST, **model_fields):
    trained = random_trained_model(**model_fields)
    trained.experiment.data.longest_side = longest
    return trained


@pytest.fixture(scope="module")
def known():
    """A model that was trained on images of at most `LONGEST` pixels."""
    return sized()


@pytest.fixture(scope="module")
def artefacts(known, tmp_path_factory):
    """The model's artefacts by kind."""
    folder = tmp_path_factory.mktemp("artefacts")
    paths = {
        kind: folder / name
        for kind, name in {
            "keras": "model.keras",
            "saved_model": "saved",
            "litert": "model.tflite",
            "litert_open": "open.tflite",
            "onnx": "model.onnx",
        }.items()
    }
    save_model(known, paths["keras"])
    signatures = ("probabilities", "logits", "uncertainty")
    write_saved_model(known, paths["saved_model"], Serving(signatures))
    write_litert(known, paths["litert"], Options((LONGEST, LONGEST)))
    write_litert(known, paths["litert_open"], Options(None))
    write_onnx(known, paths["onnx"])
    return paths


@pytest.fixture(scope="module")
def predictors(artefacts):
    """The predictor of each artefact, by kind, loaded once."""
    return {kind: load_predictor(path, quiet) for kind, path in artefacts.items()}


def quiet(line):
    """Drops a line that another test looks at."""


def expected_labels(trained, image, longest=LONGEST):
    """The labels by the rule, with nothing of the product but the network and the shrunk pixels."""
    small = shrink_images(image[None], longest)
    logits = np.asarray(trained.model(small))[0]
    channels = [
        Image.fromarray(channel).resize(image.shape[1::-1], Image.Resampling.BILINEAR)
        for channel in np.moveaxis(logits, -1, 0)
    ]
    return np.argmax([np.asarray(channel) for channel in channels], axis=0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["keras", "saved_model", "litert_open", "onnx"])
def test_every_road_enlarges_the_scores_of_the_shrunk_image(known, predictors, kind, size):
    image = random_picture(*size)
    labels = predictors[kind].predict(image[None])[0]
    assert labels.shape == size and labels.dtype == np.uint8
    assert np.mean(labels == expected_labels(known, image)) > SAME


def test_a_litert_file_of_one_size_enlarges_scores_too(known, artefacts):
    image = random_picture(260, 260)  # fills the frame
    lines = []
    labels = load_predictor(artefacts["litert"], lines.append).predict(image[None])[0]
    # Pillow shrinks for the frame, to whole pixels after each axis.
    assert np.mean(labels == expected_labels(known, image)) > 0.97
    assert len(lines) == 1 and "larger than 65x65 pixels" in lines[0]


def test_saved_model_signatures_agree_with_each_other_and_with_python(known, artefacts):
    image = random_picture(190, 230)
    loaded = tf.saved_model.load(str(artefacts["saved_model"]))
    answer = {}
    for name in ("serving_default", "probabilities", "logits", "uncertainty"):
        found = loaded.signatures[name](images=tf.constant(image[None]))
        answer |= {key: value.numpy()[0] for key, value in found.items()}
    encoded = tf.io.encode_png(image)[None]
    by_bytes = loaded.signatures["image_bytes"](image_bytes=encoded)
    np.testing.assert_array_equal(by_bytes["labels"][0], answer["labels"])
    python = images_to_probabilities(known, EvaluateConfig(), quiet)(image[None])[0]
    np.testing.assert_allclose(answer["probabilities"], python, atol=2e-5)
    np.testing.assert_array_equal(answer["labels"], answer["logits"].argmax(-1))
    np.testing.assert_allclose(answer["confidence"], python.max(-1), atol=2e-5)
    entropy = -(python * np.log(python)).sum(-1)
    np.testing.assert_allclose(answer["uncertainty"], entropy, atol=2e-4)
    labels = images_to_labels(known, EvaluateConfig(), quiet)(image[None])[0]
    np.testing.assert_array_equal(labels, python.argmax(-1))


def test_an_image_of_a_training_images_size_takes_the_same_path_as_before(
    known, predictors, monkeypatch
):
    """To the bit, and without any resizing, on which the paper's figures depend."""
    whole = EvaluateConfig(working_size=0)
    labels, probabilities = (
        make(known, whole) for make in (images_to_labels, images_to_probabilities)
    )
    lines = []
    found = images_to_probabilities(known, EvaluateConfig(), lines.append)
    for name in ("_shrink", "_argmax_of_enlarged", "_enlarged_probabilities"):
        monkeypatch.delattr(resampling, name)
    for size in ((LONGEST, LONGEST), (65, 40), (1, 65)):
        image = random_picture(*size)[None]
        for kind in ("keras", "saved_model"):
            np.testing.assert_array_equal(predictors[kind].predict(image), labels(image))
        np.testing.assert_array_equal(found(image), probabilities(image))
    assert lines == []


def test_what_becomes_of_larger_images_is_said_once(artefacts):
    image = random_picture(90, 120)[None]
    lines = []
    predictor = load_predictor(artefacts["litert_open"], lines.append)
    for _ in range(3):
        predictor.predict(image)
    (line,) = lines
    assert "longer than 65 pixels are shrunk to 65" in line and "--working_size=none" in line


@pytest.mark.parametrize("kind", ["keras", "saved_model", "litert_open", "onnx"])
def test_a_working_size_overrides_that_of_the_artefact(known, artefacts, predictors, kind):
    image = random_picture(90, 120)
    assert predictors[kind].working.longest == LONGEST
    segmenter = deeplab_tf.load(artefacts[kind], quiet)
    found = segmenter.segment(image, working_size=97)
    assert np.mean(found == expected_labels(known, image, 97)) > SAME
    whole = load_predictor(artefacts[kind], quiet, working_size=0)
    assert whole.working.longest is None
    plain = np.asarray(known.model(image[None])).argmax(-1)
    assert np.mean(whole.predict(image[None]) == plain) > SAME


def test_a_saved_model_of_before_has_no_working_size(known, tmp_path, monkeypatch):
    write_saved_model(known, tmp_path / "old")
    monkeypatch.setattr("deeplab_tf.artefacts.saved_model.WORKING_SIZE", "unknown_then")
    lines = []
    image = random_picture(20, 70)[None]
    load_predictor(tmp_path / "old", lines.append).predict(image)
    assert len(lines) == 1 and "does not say how large" in lines[0]
    with pytest.raises(DeeplabError, match="before there was a --working_size; export it again"):
        load_predictor(tmp_path / "old", working_size=97)


def test_what_is_said_of_a_saved_model_is_what_it_does():
    """A SavedModel that was written when a letterbox had the working size of other crops."""
    experiment = random_experiment()
    experiment.data.longest_side, experiment.data.fit = 500, Fit.LETTERBOX
    loaded = types.SimpleNamespace(working_size=tf.Variable(500))
    found = working_size_of_saved_model(loaded, Path("folder"), experiment, None)
    assert found == WorkingSize(500)
    found = working_size_of_saved_model(loaded, Path("folder"), experiment, 80)
    assert found == WorkingSize(80) and loaded.working_size.numpy() == 80


@pytest.mark.parametrize(
    ("longest_side", "evaluate", "expected"),
    [
        (500, {}, WorkingSize(500)),
        (500, {"working_size": 0}, WorkingSize()),
        (500, {"working_size": 700}, WorkingSize(700)),
        (500, {"window": 257}, WorkingSize()),
        (500, {"window": 257, "working_size": 1000}, WorkingSize(1000)),
        (0, {}, WorkingSize()),  # tiles
        (0, {"working_size": 700}, WorkingSize(700)),
        (None, {}, WorkingSize(unknown_above=65)),
        (None, {"working_size": 700}, WorkingSize(700)),
    ],
)
def test_what_decides_the_working_size(longest_side, evaluate, expected):
    experiment = random_experiment()
    experiment.data.longest_side = longest_side
    assert working_size_of(experiment, EvaluateConfig(**evaluate)) == expected


@pytest.mark.parametrize(
    ("longest_side", "evaluate", "expected"),
    [
        (500, {}, 97),
        (80, {}, 80),
        (0, {}, None),  # tiles
        (500, {"working_size": 700}, 700),
        (500, {"window": 257}, None),
    ],
)
def test_a_letterbox_shows_no_image_longer_than_its_crop(longest_side, evaluate, expected):
    experiment = random_experiment()
    experiment.data.longest_side, experiment.data.fit = longest_side, Fit.LETTERBOX
    experiment.data.crop_size, experiment.data.crop_width = 65, 97
    assert working_size_of(experiment, EvaluateConfig(**evaluate)) == WorkingSize(expected)


def test_the_longer_side_of_a_crop_is_what_an_older_model_knows():
    experiment = random_experiment()
    experiment.data.longest_side, experiment.data.crop_width = None, 97
    assert working_size_of(experiment, EvaluateConfig()) == WorkingSize(unknown_above=97)


def test_an_older_model_says_that_it_does_not_know():
    lines = []
    predict = images_to_labels(sized(None), EvaluateConfig(), lines.append)
    predict(random_picture(65, 65)[None])
    assert lines == []
    large = random_picture(90, 70)[None]
    found = predict(large)
    predict(large)
    assert len(lines) == 1 and "--working_size=N shrinks" in lines[0]
    np.testing.assert_array_equal(found, np.asarray(sized(None).model(large)).argmax(-1))


def test_scales_windows_padding_and_the_crf_work_on_the_shrunk_image(known, monkeypatch):
    image = random_picture(130, 180)
    seen = []

    def probabilities(model, images, scales=(1.0,), flip=False):
        seen.append(images.shape)
        return tf.nn.softmax(model(images, training=False))

    monkeypatch.setattr(strategies, "class_probabilities", probabilities)
    monkeypatch.setattr(strategies, "check_dense_crf", lambda: None)
    refined = []

    def refine(pixels, shares):
        refined.append((pixels.shape, shares.shape))
        return shares

    monkeypatch.setattr(strategies, "refine", refine)
    # tf.function would trace with open sizes.
    tf.config.run_functions_eagerly(True)
    try:
        for given in (
            {"scales": (0.5, 1.0)},
            {"flip": True, "pad_to": 70},
            {"crf": True},
            {"flip": True, "window": 65, "working_size": LONGEST},
        ):
            predict = images_to_labels(known, EvaluateConfig(**given), quiet)
            assert predict(image[None]).shape == (1, 130, 180)
    finally:
        tf.config.run_functions_eagerly(False)
    small = (1, 47, 65, 3)
    assert seen == [small, (1, 70, 70, 3), small, small]
    assert refined == [((47, 65, 3), (47, 65, 6))]


def test_windows_run_at_the_images_own_scale(known, monkeypatch):
    monkeypatch.delattr(resampling, "_shrink")
    labels = images_to_labels(known, EvaluateConfig(window=65))(random_picture(70, 150)[None])
    assert labels.shape == (1, 70, 150)


def test_bands_of_16_bits_are_shrunk_in_their_own_type():
    bands = ImageFormat(5, 16, (30000.0,) * 5, (9000.0,) * 5)
    image = np.random.default_rng(0).integers(0, 1 << 16, (1, 90, 130, 5), np.uint16)
    small = shrink_images(image, LONGEST)
    assert small.shape == (1, 45, 65, 5) and small.dtype == np.uint16
    # Halving under a triangle keeps the mean of noise.
    assert abs(small.mean() - image.mean()) < 200 and small.std() < image.std() / 1.8

    model_config = ModelConfig(
        backbone=Backbone.RESNET_TINY, multi_grid=(1,), num_classes=6, image_format=bands
    )
    experiment = Experiment(model=model_config)
    experiment.data.longest_side = LONGEST
    trained = TrainedModel(build_model(model_config), experiment, SHAPES)
    labels = images_to_labels(trained, EvaluateConfig(), quiet)(image)
    assert labels.shape == (1, 90, 130)


def test_shrinking_is_pillows_but_for_one_level_of_rounding():
    image = random_picture(301, 207)
    small = shrink_images(image[None], 70)[0]
    assert small.shape == (70, 48, 3)
    pillow = Image.fromarray(image).resize((48, 70), Image.Resampling.BILINEAR)
    assert np.abs(small.astype(int) - np.asarray(pillow)).max() <= 1


@pytest.mark.parametrize(
    ("size", "longest", "expected"),
    [
        ((3000, 4000), 500, (375, 500)),
        ((4000, 3000), 513, (513, 385)),
        ((1, 2000), 500, (1, 500)),
        ((9000, 12000), 513, (385, 513)),
        ((501, 500), 500, (500, 499)),
    ],
)
def test_the_size_keeps_its_proportion(size, longest, expected):
    assert shrunk_size(*size, longest) == expected
    in_graph = shrunk_size(*(tf.constant(side, tf.int64) for side in (*size, longest)))
    assert tuple(int(side) for side in in_graph) == expected


@pytest.mark.parametrize("strip_values", [1, 4000, 1 << 22])
def test_strips_are_the_whole_bit_for_bit(monkeypatch, strip_values):
    monkeypatch.setattr(resampling, "STRIP_VALUES", strip_values)
    scores = tf.random.stateless_normal((2, 13, 9, 5), (1, 2))
    whole = enlarge(scores, (101, 77))
    expected = tf.image.resize(scores, (101, 77))
    np.testing.assert_allclose(whole, expected, atol=2e-5)
    in_strips = enlarge_by_strips(
        scores, (101, 77), lambda rows: {"most": tf.reduce_max(rows, axis=-1)}
    )
    np.testing.assert_array_equal(in_strips["most"], tf.reduce_max(whole, axis=-1))


def test_without_scores_labels_are_enlarged_by_nearest_neighbour():
    labels = np.array([[[0, 1], [2, 3]]])
    np.testing.assert_array_equal(
        enlarge_labels(labels, None, (4, 4))[0], np.repeat(np.repeat(labels[0], 2, 0), 2, 1)
    )


def test_an_enlarged_photo_keeps_the_labels_of_its_original(known):
    """The picture four times as large, compared inside the regions of its labels."""
    image = random_picture(49, 65)
    predict = images_to_labels(known, EvaluateConfig(), quiet)
    original = predict(image[None])[0]
    large = np.asarray(Image.fromarray(image).resize((260, 196), Image.Resampling.BICUBIC))
    found = predict(large[None])[0]
    expected = np.repeat(np.repeat(original, 4, 0), 4, 1)
    inside = np.ones(original.shape, bool)
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        inside &= np.roll(original, step, axis) == original
    inside = np.repeat(np.repeat(inside, 4, 0), 4, 1)
    assert np.mean(found[inside] == expected[inside]) > 0.98
    without = images_to_labels(known, EvaluateConfig(working_size=0))(large[None])[0]
    assert np.mean(without[inside] == expected[inside]) < 0.9


def test_floats_are_shrunk_without_rounding():
    images = np.array([[[[0.1], [0.2], [0.3], [0.4]]] * 4], np.float32)
    small = resampling.shrink_images(images, 2)
    assert small.dtype == np.float32 and small.shape == (1, 2, 2, 1)
    # The triangle weighs four pixels 3, 3, 1 at the border, and 1, 3, 3 at the other.
    np.testing.assert_allclose(small[0, 0, :, 0], [1.2 / 7, 2.3 / 7], rtol=1e-5)
