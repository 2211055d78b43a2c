"""Labels with their confidence: those of `predict`, and the largest of the class probabilities."""

import numpy as np
import pytest
import tensorflow as tf
from support.random_model import random_picture

from deeplab_tf.artefacts.description import DESCRIPTION, describe
from deeplab_tf.config import EvaluateConfig
from deeplab_tf.export.litert import Options, write_litert
from deeplab_tf.images.confidence import UNITS, confident, confident_by_scores
from deeplab_tf.inference import predictor as predictor_module
from deeplab_tf.inference.predictor import load_predictor, trained_predictor
from deeplab_tf.inference.strategies import images_to_probabilities

IMAGE = random_picture(90, 70)


def check(predictor, images, probabilities, units=1.0):
    """Checks a predictor against probabilities; `units` is how far the confidence may be off."""
    both = predictor.predict_confident(images)
    np.testing.assert_array_equal(both["label"], predictor.predict(images))
    off = both["confidence"] - probabilities.max(axis=-1).astype(np.float64) * UNITS
    assert np.abs(off).max() <= units
    assert len(np.unique(both["confidence"])) > 100


@pytest.mark.parametrize(
    "given",
    [
        {"scales": (0.5, 1.0), "flip": True, "window": 65, "pad_to": 100},
        {"working_size": 50},
        {"working_size": 50, "flip": True},
    ],
)
def test_of_every_way_to_infer(trained, given):
    evaluate_config = EvaluateConfig(**given)
    predictor = trained_predictor(trained, evaluate_config, lambda _: None)
    images = np.stack([IMAGE, IMAGE[::-1]])
    check(predictor, images, images_to_probabilities(trained, evaluate_config)(images))


def test_of_the_crf(trained):
    pytest.importorskip("pydensecrf")
    predictor = trained_predictor(trained, EvaluateConfig(crf=True))
    refined = images_to_probabilities(trained, EvaluateConfig(crf=True))(IMAGE[None])
    check(predictor, IMAGE[None], refined)


def keras_probabilities(trained, image):
    logits = trained.model(image[None]).numpy().astype(np.float64)
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def test_of_a_saved_model(trained, artefacts):
    predictor = load_predictor(artefacts / "saved")
    check(predictor, IMAGE[None], keras_probabilities(trained, IMAGE), units=40)


def test_of_a_litert_file(trained, tmp_path):
    write_litert(trained, tmp_path / "model.tflite", Options(image_size=(90, 81)))
    predictor = load_predictor(tmp_path / "model.tflite")
    framed = np.empty((90, 81, 3), np.uint8)
    framed[:] = (123, 116, 103)
    framed[:, :70] = IMAGE
    expected = keras_probabilities(trained, framed)[:, :, :70]
    check(predictor, IMAGE[None], expected, units=400)
    large = random_picture(200, 180)
    both = predictor.predict_confident(large[None])
    np.testing.assert_array_equal(both["label"], predictor.predict(large[None]))


@pytest.mark.parametrize("has_logits", [True, False])
def test_of_an_onnx_file(trained, monkeypatch, has_logits):
    class File:
        metadata = {DESCRIPTION: describe(trained.experiment, trained.classes)}  # noqa: RUF012
        gives_logits = has_logits

        @staticmethod
        def run(images):
            logits = trained.model(images).numpy()
            return logits.argmax(-1).astype(np.uint8), logits if has_logits else None

    monkeypatch.setattr(predictor_module, "open_onnx", lambda _: File)
    monkeypatch.setattr(predictor_module, "is_exported", lambda _: True)
    predictor = load_predictor("model.onnx", lambda _: None)
    if not has_logits:
        assert predictor.predict_confident is None
        return
    check(predictor, IMAGE[None], keras_probabilities(trained, IMAGE), units=40)
    shrunk = load_predictor("model.onnx", lambda _: None, working_size=50)
    both = shrunk.predict_confident(IMAGE[None])
    np.testing.assert_array_equal(both["label"], shrunk.predict(IMAGE[None]))


def test_scores_are_enlarged_and_not_labels():
    logits = np.zeros((1, 2, 2, 2), np.float32)
    logits[0, :, 1, 1] = 4.0
    both = confident_by_scores(None, logits, (2, 6))
    enlarged = tf.image.resize(logits, (2, 6)).numpy()
    shares = 1 / (1 + np.exp(-np.abs(enlarged[..., 0] - enlarged[..., 1])))
    np.testing.assert_allclose(both["confidence"] / UNITS, shares, atol=2 / UNITS)
    np.testing.assert_array_equal(both["label"], enlarged.argmax(-1))


def test_confidences_are_rounded_and_stay_within_bounds():
    both = confident(np.array([[1, 2, 3]]), np.array([[-1e-3, 0.5, 1.0000001]], np.float32))
    assert both["confidence"].tolist() == [[0, 32768, UNITS]]
    assert both["label"].tolist() == [[1, 2, 3]]
