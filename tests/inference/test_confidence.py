"""Labels with their confidence: those of `predict`, and the largest of the class probabilities."""

import numpy as np
import pytest
import tensorflow as tf
from support.random_model import random_picture

from deeplab_tf.artefacts.description import DESCRIPTION, describe
from deeplab_tf.config import EvaluateConfig
from deeplab_tf.errors import DeeplabError
from deeplab_tf.export.litert import Options, write_litert
from deeplab_tf.images.scored import ONE
from deeplab_tf.inference import predictor as predictor_module
from deeplab_tf.inference.batches import Picture, predict_one
from deeplab_tf.inference.predictor import load_predictor, trained_predictor
from deeplab_tf.inference.strategies import images_to_probabilities
from deeplab_tf.inference.wanted import Wanted

IMAGE = random_picture(90, 70)


def labels_and_confidence(predictor, images):
    """Both, image by image."""
    assert predictor.gives_scores
    done = [predict_one(predictor, Picture(None, each), Wanted.CONFIDENCE) for each in images]
    return np.stack([each.labels for each in done]), np.stack([each.confidence for each in done])


def check(predictor, images, probabilities, units=1.0):
    """Checks a predictor against probabilities; `units` is how far the confidence may be off."""
    labels, confidence = labels_and_confidence(predictor, images)
    # One by one, since a network may round otherwise in a batch.
    one_by_one = np.concatenate([predictor.predict(each[None]) for each in images])
    np.testing.assert_array_equal(labels, one_by_one)
    off = confidence - probabilities.max(axis=-1).astype(np.float64) * ONE
    assert np.abs(off).max() <= units
    assert len(np.unique(confidence)) > 100


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
    labels, _ = labels_and_confidence(predictor, large[None])
    np.testing.assert_array_equal(labels, predictor.predict(large[None]))


def write_foreign(path, classes, ends_in_softmax, integers):
    """Writes a LiteRT file of one convolution by the converter; returns its float64 logits."""
    size = (1, 24, 24, 3)
    rng = np.random.default_rng(classes)
    kernel = rng.normal(0, 2, (1, 1, 3, classes)).astype(np.float32)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec(size)])
    def network(pixels):
        logits = tf.nn.conv2d(pixels, kernel, 1, "SAME")
        return tf.nn.softmax(logits) if ends_in_softmax else logits

    holder = tf.Module()
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [network.get_concrete_function()], holder
    )
    if integers:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
        examples = rng.uniform(-1, 1, (8, *size)).astype(np.float32)
        converter.representative_dataset = lambda: ([example] for example in examples)
    path.write_bytes(converter.convert())
    return lambda image: (image / 127.5 - 1) @ kernel[0, 0].astype(np.float64)


@pytest.mark.parametrize("integers", [False, True])
@pytest.mark.parametrize("ends_in_softmax", [False, True])
@pytest.mark.parametrize("classes", [2, 21, 150])
def test_of_a_litert_file_of_others(tmp_path, classes, ends_in_softmax, integers):
    """A softmax is found by its sums, which 150 classes of 8 bits put off by 0.06."""
    logits_of = write_foreign(tmp_path / "a.tflite", classes, ends_in_softmax, integers)
    predictor = load_predictor(tmp_path / "a.tflite", lambda _: None)
    image = random_picture(24, 24)
    found = predictor.scores(image[None])
    assert found.are_logits != ends_in_softmax
    logits = logits_of(image)
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    _, confidence = labels_and_confidence(predictor, image[None])
    # Quantised logits of this width are 0.1 off; a second softmax would give 0.02 for 150 classes.
    off = np.abs(confidence[0] / ONE - shares.max(axis=-1))
    assert off.mean() < (0.05 if integers else 1e-4)
    assert predictor.scores(np.zeros((1, 24, 24, 3), np.uint8)).are_logits != ends_in_softmax


def test_a_file_of_others_is_judged_once(tmp_path):
    write_foreign(tmp_path / "a.tflite", 3, ends_in_softmax=True, integers=False)
    first = load_predictor(tmp_path / "a.tflite", lambda _: None)
    assert not first.scores(random_picture(24, 24)[None]).are_logits
    broken = np.full((1, 2, 2, 3), 0.4, np.float32)  # sums of 1.2
    assert not predictor_module.is_softmax(broken, 0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predictor_module, "is_softmax", lambda *_: pytest.fail("judged again"))
        assert not first.scores(random_picture(24, 24, 1)[None]).are_logits


@pytest.mark.parametrize("has_logits", [True, False])
def test_of_an_onnx_file(trained, monkeypatch, has_logits):
    class File:
        metadata = {DESCRIPTION: describe(trained.experiment, trained.classes)}  # noqa: RUF012
        gives_logits = has_logits
        path = "model.onnx"

        @staticmethod
        def run(images):
            logits = trained.model(images).numpy()
            return logits.argmax(-1).astype(np.uint8), logits if has_logits else None

    monkeypatch.setattr(predictor_module, "open_onnx", lambda _: File)
    monkeypatch.setattr(predictor_module, "is_exported", lambda _: True)
    predictor = load_predictor("model.onnx", lambda _: None)
    if not has_logits:
        asked = Picture(None, IMAGE)
        done = predict_one(predictor, asked, Wanted.CONFIDENCE_IF_ANY)
        assert done.confidence is None
        np.testing.assert_array_equal(done.labels, predictor.predict(IMAGE[None])[0])
        with pytest.raises(DeeplabError, match=r"model.onnx gives only labels; export it again"):
            predict_one(predictor, asked, Wanted.CONFIDENCE)
        return
    check(predictor, IMAGE[None], keras_probabilities(trained, IMAGE), units=40)
    shrunk = load_predictor("model.onnx", lambda _: None, working_size=50)
    labels, _ = labels_and_confidence(shrunk, IMAGE[None])
    np.testing.assert_array_equal(labels, shrunk.predict(IMAGE[None]))
