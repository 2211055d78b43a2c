"""LiteRT files of others: imported, evaluated and predicted with as they are."""

import contextlib
import dataclasses
import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from support.light_network import SIDE, light_model, light_network, write_light
from support.random_model import random_picture
from support.shared_data import SHARED

from deeplab_tf.artefacts.litert import open_segmenter
from deeplab_tf.artefacts.trained_model import load_model, read_model_config
from deeplab_tf.config import EvaluateConfig
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.frame import into_frame
from deeplab_tf.inference.predictor import load_predictor, trained_predictor
from deeplab_tf.models import build_model, with_output_stride
from deeplab_tf.models.conv import Runs, traced_for
from deeplab_tf.training.initial_weights import load_initial_weights
from deeplab_tf.weights.batch_norm import estimate_statistics
from deeplab_tf.weights.convert import READERS, run_import
from deeplab_tf.weights.imported import build_network
from deeplab_tf.weights.parity import ImportParity, measure
from deeplab_tf.weights.tflite import read_tflite


@pytest.fixture(scope="module")
def trained():
    return light_model()


def convert(function, shape, path):
    signature = tf.TensorSpec((1, *shape), tf.float32, name="image")
    with traced_for(Runs.CONVERTED):
        concrete = tf.function(function, input_signature=[signature]).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    path.write_bytes(converter.convert())
    return path


@pytest.fixture(scope="module")
def released(trained, tmp_path_factory):
    return write_light(trained, tmp_path_factory.mktemp("file") / "released.tflite")


def test_the_network_and_its_logits_are_the_files(trained, released):
    imported = read_tflite(released)
    model, report = build_network(imported, "file")
    assert dataclasses.replace(trained.experiment.model, batch_norm_momentum=0.9997) == (
        imported.model_config
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
    assert loaded.classes.names == tuple(f"class {i}" for i in range(6))
    assert loaded.experiment.evaluate.pad_to == SIDE
    assert loaded.experiment.data.longest_side == 513


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
    assert predictor.experiment is None and predictor.classes.num_classes == 6
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


def quantized(function, path, *, labels, dtype):
    """Full-integer, calibrated on blobs; `dtype` in, labels or quantised logits out."""

    def last(image):
        logits = function(image)
        return tf.argmax(logits, -1, output_type=tf.int32) if labels else logits

    signature = tf.TensorSpec((1, 33, 33, 3), tf.float32, name="image")
    concrete = tf.function(last, input_signature=[signature]).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    # From black to white: then the file's input is the pixel itself.
    pictures = [random_picture(33, 33, seed) for seed in range(20)]
    pictures[0][0, :2] = [[0], [255]]
    converter.representative_dataset = lambda: (
        [picture[None] / np.float32(127.5) - 1] for picture in pictures
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = dtype
    if not labels:
        converter.inference_output_type = dtype
    path.write_bytes(converter.convert())
    return path


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("dtype", [tf.uint8, tf.int8])
def test_quantised_files_segment(tmp_path, labels, dtype):
    """An argmax at the end shows the classes by its input."""
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 6)).astype(np.float32)

    def logits(image):
        return tf.nn.conv2d(image, kernel, 1, "SAME")

    path = quantized(logits, tmp_path / "a.tflite", labels=labels, dtype=dtype)
    segmenter = open_segmenter(path)
    assert (segmenter.size, segmenter.num_classes) == ((33, 33), 6)
    picture = random_picture(33, 33, 5)  # of those that it was calibrated on
    expected = logits(picture[None] / np.float32(127.5) - 1).numpy()
    found, values = segmenter.run(picture[None])
    assert np.mean(found == expected.argmax(-1)) > 0.97
    if labels:
        assert values is None
    else:
        assert np.linalg.norm(values - expected) < 0.02 * np.linalg.norm(expected)


def test_a_float16_file_is_read(trained, tmp_path):
    converter = tf.lite.TFLiteConverter.from_concrete_functions([light_network(trained)])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    (tmp_path / "half.tflite").write_bytes(converter.convert())
    imported = read_tflite(tmp_path / "half.tflite")
    model, _ = build_network(imported, "file")
    picture = random_picture(97, 130)[None]
    expected = trained.model(picture, training=False).numpy()
    error = np.linalg.norm(model(picture).numpy() - expected) / np.linalg.norm(expected)
    assert error < 0.05  # eleven bits a weight, through 56 convolutions
    kernel = imported.tensors["block3_unit1_project/kernel"]
    np.testing.assert_array_equal(kernel, kernel.astype(np.float16))  # no digit is lost


@pytest.mark.parametrize("size", [64, 66])
def test_sizes_off_the_grid_are_refused(trained, size, tmp_path):
    path = tmp_path / "even.tflite"
    converter = tf.lite.TFLiteConverter.from_concrete_functions([light_network(trained, size)])
    path.write_bytes(converter.convert())
    with pytest.raises(DeeplabError, match=rf"takes images of {size}x{size}.*k \* output_stride"):
        read_tflite(path)


@pytest.mark.parametrize("size", [64, 65])
def test_a_float_classifier_gives_a_backbone(trained, size, tmp_path):
    model = with_output_stride(trained.model, trained.experiment.model, 32)
    inner = keras.Model(model.input, model.get_layer("block7_unit1_project_bn").output)
    kernel = np.random.default_rng(0).normal(size=(1, 1, 80, 10)).astype(np.float32)

    def classify(image):
        features = inner(image * 127.5 + 127.5, training=False)
        return tf.reduce_mean(tf.nn.conv2d(features, kernel, 1, "SAME"), (1, 2))

    path = convert(classify, (size, size, 3), tmp_path / "classifier.tflite")
    said = run_import("tflite", path, tmp_path / "backbone.keras", [])
    assert "a backbone without a head" in said and "skipped       1" in said
    model_config = read_model_config(tmp_path / "backbone.keras")
    assert model_config is not None
    assert (model_config.num_classes, model_config.width_multiplier) == (None, 0.25)


def test_photos_give_the_statistics_and_the_comparison(released, tmp_path):
    photos = []
    for seed in range(3):
        photos.append(tmp_path / f"{seed}.png")
        Image.fromarray(random_picture(50, 90, seed)).save(photos[-1])
    said = run_import("tflite", released, tmp_path / "a.keras", photos)
    assert "batch norm statistics were estimated on 3 images" in said
    assert re.search(r"(100|99\.9\d)\S*% of the labels are equal; .* \(on 3 images\)", said)
    norm = load_model(tmp_path / "a.keras").model.get_layer("conv1_bn")
    assert norm.moving_variance.numpy().std() > 0.01  # all were one


def test_a_network_that_answers_otherwise_is_not_written(released, tmp_path, monkeypatch):
    def perturbed(path):
        imported = read_tflite(path)
        kernel = imported.tensors["block3_unit1_project/kernel"].copy()
        kernel[..., 0] += 0.5
        imported.tensors["block3_unit1_project/kernel"] = kernel
        return imported

    monkeypatch.setitem(READERS, "tflite", perturbed)
    with pytest.raises(DeeplabError, match="is not imported: the network does not answer as its"):
        run_import("tflite", released, tmp_path / "a.keras", [])
    assert not (tmp_path / "a.keras").exists()


@pytest.mark.parametrize(
    ("agreement", "difference", "holds"),
    [
        (0.999, 1e-3, True),
        (0.9989, 1e-3, False),
        (1.0, 0.011, False),
        (None, 0.009, True),
        (None, float("nan"), False),
    ],
)
def test_what_an_import_must_hold(agreement, difference, holds):
    parity = ImportParity(1, agreement, difference, 10.0, 0.0)
    with contextlib.nullcontext() if holds else pytest.raises(DeeplabError):
        parity.check("file")


def test_numbers_that_are_none_do_not_pass():
    image = keras.Input((None, None, 3))
    model = keras.Model(image, keras.layers.Lambda(lambda x: x * np.float32("nan"))(image))
    parity = measure(model, lambda x: (None, np.asarray(x, np.float32)), [random_picture(4, 5)])
    with pytest.raises(DeeplabError, match="largest difference is nan"):
        parity.check("file")


@pytest.mark.parametrize(
    ("function", "shape", "message"),
    [
        (lambda x: tf.reduce_mean(x, (1, 2)), (9, 9, 3), r"must map one image .* to \[\[1, 3\]\]"),
        (lambda x: x[:, ::2], (9, 9, 3), r"float32 \[1, 9, 9, 3\] to \[\[1, 5, 9, 3\]\]"),
        (lambda x: x, (9, 9, 4), r"float32 \[1, 9, 9, 4\]"),
        (lambda x: x[..., :1], (9, 9, 3), r"to \[\[1, 9, 9, 1\]\]"),
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
    found = imported.model_config
    assert (found.width_multiplier, found.output_stride) == (0.5, 8)
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
    assert "a backbone without a head" in said and "skipped       2" in said
    model_config = read_model_config(pathlib.Path(tmp_path / "backbone.keras"))
    assert model_config is not None and model_config.num_classes is None
    ours = dataclasses.replace(model_config, num_classes=4, aspp_rates=(), output_stride=16)
    model = build_model(ours)
    report = load_initial_weights(model, str(tmp_path / "backbone.keras"), ours)
    assert len(report.loaded) == 51 * 5 and report.unexpected == []
    assert {name.split("/")[0].split("_")[0] for name in report.missing} == {"aspp", "logits"}
    with pytest.raises(DeeplabError, match="is a mobilenet_v2 without classes"):
        load_model(tmp_path / "backbone.keras")
    other = dataclasses.replace(ours, normalization="caffe")
    with pytest.raises(DeeplabError, match="give --config.model.normalization=symmetric"):
        load_initial_weights(model, str(tmp_path / "backbone.keras"), other)
