"""The model in Python: any artefact, any picture, the same labels as by the command."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from support.random_model import random_picture

import deeplab_tf
from deeplab_tf.config import EvaluateConfig
from deeplab_tf.export.litert import Options, write_litert
from deeplab_tf.images.drawing import overlay
from deeplab_tf.inference.predictor import load_predictor
from deeplab_tf.inference.strategies import images_to_labels
from deeplab_tf.models import with_output_stride
from deeplab_tf.models.folding import folded


@pytest.fixture(scope="module")
def segmenter(keras_file):
    return deeplab_tf.load(keras_file)


def test_a_file_pixels_and_a_pillow_image_are_one_picture(trained, segmenter, tmp_path):
    pixels = random_picture(40, 53)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    expected = trained.model(pixels[None]).numpy()[0].argmax(-1)
    for picture in (pixels, tmp_path / "photo.png", str(tmp_path / "photo.png")):
        labels = segmenter.segment(picture)
        assert labels.dtype == np.uint8 and labels.shape == (40, 53)
        np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal(segmenter.segment(Image.fromarray(pixels)), expected)


def test_an_opened_picture_is_read_as_its_file_is(segmenter, tmp_path):
    """EXIF turns it, and of 16 bits the upper 8 are kept."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(random_picture(40, 53)).save(tmp_path / "turned.png", exif=exif)
    grey = random_picture(40, 53)[..., 0].astype(np.uint16) * 257
    Image.fromarray(grey).save(tmp_path / "deep.png")
    for name, shape in (("turned.png", (53, 40)), ("deep.png", (40, 53))):
        labels = segmenter.segment(Image.open(tmp_path / name))
        assert labels.shape == shape
        np.testing.assert_array_equal(labels, segmenter.segment(tmp_path / name))


def test_every_way_to_infer_is_taken(trained, segmenter):
    picture = random_picture(49, 65)
    at_8 = with_output_stride(trained.model, trained.experiment.model, 8)
    expected = at_8(picture[None]).numpy()[0].argmax(-1)
    np.testing.assert_array_equal(segmenter.segment(picture, output_stride=8), expected)
    given = {"scales": (0.75, 1.25), "flip": True}
    by_settings = images_to_labels(trained, EvaluateConfig(**given))
    np.testing.assert_array_equal(
        segmenter.segment(picture, **given), by_settings(picture[None])[0]
    )
    wide = random_picture(65, 160)
    windows = images_to_labels(trained, EvaluateConfig(window=65))
    np.testing.assert_array_equal(segmenter.segment(wide, window=65), windows(wide[None])[0])
    assert (segmenter.segment(wide, window=65) != segmenter.segment(wide)).any()


@pytest.mark.parametrize("given", [{}, {"window": 65}, {"scales": (0.75, 1.25), "flip": True}])
def test_probabilities_are_those_of_the_labels(trained, segmenter, given):
    picture = random_picture(49, 130)
    found = segmenter.segment(picture, probabilities=True, **given)
    assert found.dtype == np.float32 and found.shape == (49, 130, 6)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-6)
    np.testing.assert_array_equal(found.argmax(-1), segmenter.segment(picture, **given))
    if not given:
        logits = folded(trained.model)(picture[None])[0].numpy()
        # Logits are sums of 256 products, in another order here, and a softmax moves by at most
        # half of what they do.
        bound = 0.5 * 256**0.5 * np.finfo(np.float32).eps * np.abs(logits).max()
        assert bound < 1e-4
        np.testing.assert_allclose(found, tf.nn.softmax(logits).numpy(), atol=bound)


def test_an_overlay_shows_the_labels(segmenter):
    picture = random_picture(40, 53)
    shown = segmenter.overlay(picture)
    expected = overlay(picture, segmenter.segment(picture), segmenter.classes)
    assert shown.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(shown), np.asarray(expected))
    nothing = segmenter.overlay(picture, np.zeros((40, 53), np.uint8))
    np.testing.assert_array_equal(np.asarray(nothing)[:40, :53], picture)  # the background


def test_an_exported_file_answers_as_by_the_command(trained, tmp_path):
    write_litert(trained, tmp_path / "model.tflite", Options(image_size=(49, 65)))
    picture = random_picture(40, 53)
    exported = deeplab_tf.load(tmp_path / "model.tflite")
    expected = load_predictor(tmp_path / "model.tflite").predict(picture[None])[0]
    np.testing.assert_array_equal(exported.segment(picture), expected)
    with pytest.raises(deeplab_tf.DeeplabError, match="fixed: output_stride needs"):
        exported.segment(picture, output_stride=8)
    shares = exported.segment(picture, probabilities=True)
    np.testing.assert_array_equal(shares.argmax(-1), expected)
    np.testing.assert_allclose(shares.sum(-1), 1, atol=1e-5)


def test_a_picture_of_another_form_is_refused(segmenter, tmp_path):
    for wrong in (np.zeros((4, 5), np.uint8), np.zeros((4, 5, 4), np.uint8), np.zeros((4, 5, 3))):
        with pytest.raises(deeplab_tf.DeeplabError, match=r"must be uint8 \[height, width, 3\]"):
            segmenter.segment(wrong)
    with pytest.raises(deeplab_tf.DeeplabError, match=r"nowhere\.jpg"):
        segmenter.segment(tmp_path / "nowhere.jpg")
    with pytest.raises(deeplab_tf.DeeplabError, match="does not exist"):
        deeplab_tf.load(tmp_path / "nowhere.keras")


def test_keras_own_fit_trains_a_network():
    """Keras' loop and loss learn a mask that the pixels show."""
    keras.utils.set_random_seed(0)
    model_config = deeplab_tf.ModelConfig(
        backbone=deeplab_tf.Backbone.RESNET_TINY, multi_grid=(1,), num_classes=2
    )
    model = deeplab_tf.build_model(model_config)
    picture = np.stack([random_picture(33, 33, seed) for seed in range(4)])
    mask = (picture[..., 0] > 127).astype(np.int32)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(3e-3), loss=loss)
    history = model.fit(picture, mask, batch_size=4, epochs=15, verbose=0).history["loss"]
    assert history[0] == pytest.approx(np.log(2), abs=0.1)
    assert history[-1] < 0.6 * history[0]
