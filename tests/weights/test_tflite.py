"""LiteRT files of others: imported, evaluated and predicted with as they are."""

import dataclasses
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from random_model import random_picture, random_trained_model
from shared_data import SHARED

from deeplab_tf.config import Backbone, EvaluateConfig
from deeplab_tf.errors import DeeplabError
from deeplab_tf.litert_file import into_frame, open_segmenter
from deeplab_tf.models import build_model
from deeplab_tf.prediction.predictor import load_predictor, trained_predictor
from deeplab_tf.trained_model import load_model, read_model_config
from deeplab_tf.training.initial_weights import load_initial_weights
from deeplab_tf.weights.batch_norm import estimate_statistics
from deeplab_tf.weights.imported import build_network
from deeplab_tf.weights.parity import measure
from deeplab_tf.weights.run import run_import
from deeplab_tf.weights.tflite import read_tflite

SIDE = 65


@pytest.fixture(scope="module")
def trained():
    return random_trained_model(
        backbone=Backbone.MOBILENET_V2,
        width_multiplier=0.25,
        channel_divisor=1,
        output_stride=8,
        multi_grid=(1, 1, 1),
        aspp_rates=(),
        normalization="symmetric",
        batch_norm_epsilon=1e-5,
    )


def convert(function, shape, path):
    signature = tf.TensorSpec((1, *shape), tf.float32, name="image")
    concrete = tf.function(function, input_signature=[signature]).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    path.write_bytes(converter.convert())
    return path


@pytest.fixture(scope="module")
def released(trained, tmp_path_factory):
    """A file as DeepLab's exporter made them: float input in [-1, 1], image pooling first in the
    concatenation, batch norms folded, logits at the size of the image."""
    model = trained.model
    features = keras.Model(model.input, model.get_layer("block7_unit1_project_bn").output)
    layer = model.get_layer
    resize = tf.compat.v1.image.resize_bilinear

    def block(name, x):
        return tf.nn.relu(layer(f"{name}_bn")(layer(name)(x), training=False))

    def logits(image):
        x = features(image * 127.5 + 127.5, training=False)
        pooled = tf.nn.avg_pool2d(x, x.shape[1:3], x.shape[1:3], "VALID")
        pooled = resize(block("aspp_pool", pooled), x.shape[1:3], align_corners=True)
        kernel = layer("aspp_project").kernel
        kernel = tf.concat([kernel[:, :, 256:], kernel[:, :, :256]], axis=2)
        x = tf.nn.conv2d(tf.concat([pooled, block("aspp_conv1", x)], -1), kernel, 1, "SAME")
        x = layer("logits")(tf.nn.relu(layer("aspp_project_bn")(x, training=False)))
        return resize(x, (SIDE, SIDE), align_corners=True)

    return convert(logits, (SIDE, SIDE, 3), tmp_path_factory.mktemp("file") / "released.tflite")


def test_the_network_and_its_logits_are_the_files(trained, released):
    imported = read_tflite(released)
    model, report = build_network(imported, "file")
    assert dataclasses.replace(trained.experiment.model, batch_norm_momentum=0.9997) == (
        imported.config
    )
    assert (len(report.loaded), report.unexpected) == (len(model.weights), [])
    images = [random_picture(SIDE, SIDE, seed) for seed in range(3)]
    parity = measure(model, imported.reference(), images)
    assert parity.label_agreement is not None and parity.label_agreement > 0.999
    assert parity.largest_difference is not None and parity.largest_difference < 1e-3
    assert imported.exact and imported.pad_to == SIDE
    # At another size and stride it is the network that was exported.
    picture = random_picture(97, 130)[None]
    np.testing.assert_allclose(
        model(picture, training=False), trained.model(picture, training=False), atol=1e-3
    )


def test_import_writes_a_model_with_its_classes_and_says_what_it_did(released, tmp_path):
    said = run_import("tflite", released, tmp_path / "a.keras", [])
    assert "mobilenet_v2, width 0.25, 6 classes, output_stride 8" in said
    assert "of the labels are equal" in said and "written: " in said
    loaded = load_model(tmp_path / "a.keras")
    assert loaded.labels.names == tuple(f"class {i}" for i in range(6))
    assert loaded.experiment.evaluate.pad_to == SIDE


def test_statistics_are_estimated_and_the_function_stays(trained, released):
    imported = read_tflite(released)
    model, _ = build_network(imported, "file")
    images = [random_picture(SIDE, SIDE, seed) for seed in range(4)]
    before = model(images[0][None], training=False).numpy()
    estimate_statistics(model, images)
    np.testing.assert_allclose(model(images[0][None], training=False), before, atol=1e-3)
    norm = model.get_layer("block3_unit1_expand_bn")
    batch = keras.Model(model.input, norm.input)(np.stack(images), training=False).numpy()
    np.testing.assert_allclose(norm.moving_mean, batch.mean((0, 1, 2)), atol=1e-4)
    np.testing.assert_allclose(norm.moving_variance, batch.var((0, 1, 2)), rtol=1e-3, atol=1e-6)
    # So a step of training begins with it: batch statistics give what moving ones do.
    training = model(np.stack(images), training=True).numpy()
    still = model(np.stack(images), training=False).numpy()
    assert np.mean(training.argmax(-1) == still.argmax(-1)) > 0.95


def test_a_foreign_file_predicts_padded_as_it_is(trained, released):
    predictor = load_predictor(released)
    assert predictor.experiment is None and predictor.labels.num_classes == 6
    picture = random_picture(40, 53)
    framed, _ = into_frame(picture, (SIDE, SIDE), np.full(3, 128, np.uint8))
    expected = trained.model(framed, training=False).numpy().argmax(-1)[0, :40, :53]
    assert np.mean(predictor.predict(picture[None])[0] == expected) > 0.999


def test_padding_is_that_of_the_original(trained):
    padded = trained_predictor(trained, EvaluateConfig(pad_to=SIDE))
    picture = random_picture(40, 53)
    framed = np.full((1, SIDE, SIDE, 3), 128, np.uint8)
    framed[0, :40, :53] = picture
    expected = trained.model(framed, training=False).numpy().argmax(-1)[0, :40, :53]
    assert np.mean(padded.predict(picture[None])[0] == expected) > 0.999
    unpadded = trained_predictor(trained, EvaluateConfig()).predict(picture[None])[0]
    assert np.mean(unpadded == expected) < 0.999


def test_quantised_output_and_input_are_understood(released, tmp_path, trained):
    """An argmax at the end, uint8 in: the classes are told by what the argmax is taken of."""
    inner = trained.model

    def labels(image):
        logits = inner(image, training=False)
        return tf.argmax(logits, -1, output_type=tf.int32)

    path = convert(labels, (33, 33, 3), tmp_path / "labels.tflite")
    segmenter = open_segmenter(path)
    assert (segmenter.size, segmenter.num_classes) == ((33, 33), 6)
    found, logits = segmenter.run(random_picture(33, 33)[None])
    assert found.shape == (1, 33, 33) and logits is None


@pytest.mark.parametrize(
    ("function", "shape", "message"),
    [
        (lambda x: tf.reduce_mean(x, (1, 2)), (9, 9, 3), r"must map one image .* to \[\[1, 3\]\]"),
        (lambda x: x[:, ::2], (9, 9, 3), r"float32 \[1, 9, 9, 3\] to \[\[1, 5, 9, 3\]\]"),
        (lambda x: x, (9, 9, 4), r"float32 \[1, 9, 9, 4\]"),
    ],
)
def test_what_segments_nothing_is_refused(function, shape, message, tmp_path):
    with pytest.raises(DeeplabError, match=message):
        open_segmenter(convert(lambda x: function(x) * 2.0, shape, tmp_path / "a.tflite"))


def test_another_network_is_refused(tmp_path):
    dense = keras.layers.Conv2D(4, 3, padding="same")
    dense.build((None, 9, 9, 3))
    path = convert(dense, (9, 9, 3), tmp_path / "other.tflite")
    with pytest.raises(DeeplabError, match="is not of a MobileNetV2: its first 51 convolutions"):
        read_tflite(path)
    (tmp_path / "cut.tflite").write_bytes(path.read_bytes()[:100])
    with pytest.raises(DeeplabError, match=r"cut.tflite is damaged"):
        read_tflite(tmp_path / "cut.tflite")


MODELS = SHARED.parent / "models"
real = pytest.mark.skipif(not MODELS.is_dir(), reason=f"no released models in {MODELS}")


@real
def test_the_released_float_model_is_imported_exactly():
    imported = read_tflite(MODELS / "deeplabv3_257_mv_gpu.tflite")
    assert imported.config.width_multiplier == 0.5 and imported.config.output_stride == 8
    model, _ = build_network(imported, "file")
    photos = sorted((MODELS / "photos").glob("*_segmentation.bmp"))
    grey = np.full(3, 128, np.uint8)
    images = [into_frame(np.asarray(Image.open(p)), (257, 257), grey)[0][0] for p in photos]
    parity = measure(model, imported.reference(), images)
    assert parity.images == 2 and parity.label_agreement is not None
    assert parity.label_agreement >= 0.999
    assert parity.largest_difference is not None and parity.largest_difference < 1e-3


@real
def test_the_imagenet_classifier_begins_a_training(tmp_path):
    weights = MODELS / "tf2_mobilenet_v2_1.0_224_ptq.tflite"
    said = run_import("tflite", weights, tmp_path / "backbone.keras", [])
    assert "a backbone alone" in said and "skipped       2" in said
    config = read_model_config(pathlib.Path(tmp_path / "backbone.keras"))
    assert config is not None and config.num_classes is None
    ours = dataclasses.replace(config, num_classes=4, aspp_rates=(), output_stride=16)
    report = load_initial_weights(build_model(ours), str(tmp_path / "backbone.keras"), ours)
    assert len(report.loaded) == 51 * 5 and report.unexpected == []
    assert {name.split("/")[0].split("_")[0] for name in report.missing} == {"aspp", "logits"}
    with pytest.raises(DeeplabError, match="is a mobilenet_v2 without classes"):
        load_model(tmp_path / "backbone.keras")
    other = dataclasses.replace(ours, normalization="caffe")
    with pytest.raises(DeeplabError, match="give --config.model.normalization=symmetric"):
        load_initial_weights(build_model(other), str(tmp_path / "backbone.keras"), other)
