"""The ONNX file: its operations, its description, and that two runtimes answer as Keras."""

import dataclasses
import json
import sys

import numpy as np
import onnx
import pytest
import tensorflow as tf
from support.random_model import random_picture, random_trained_model

from deeplab_tf.artefacts.description import parse_description
from deeplab_tf.artefacts.onnx import open_onnx
from deeplab_tf.config import Backbone
from deeplab_tf.errors import DeeplabError
from deeplab_tf.export import onnx_model
from deeplab_tf.export.benchmark import find_artefacts
from deeplab_tf.export.onnx_graph import (
    atrous_convolutions,
    attributes,
    pad_in_numbers,
    refuse_lowered_atrous,
)
from deeplab_tf.export.onnx_model import RUNTIMES, export_onnx, write_onnx
from deeplab_tf.export.peak_memory import peak_memory
from deeplab_tf.inference.predictor import load_predictor

MOBILE = {
    "backbone": Backbone.MOBILENET_V2,
    "width_multiplier": 0.25,
    "multi_grid": (1, 1, 1),
    "output_stride": 8,
}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("onnx")


@pytest.fixture(scope="module")
def exported(trained, pictures, out):
    return export_onnx(trained, out / "model.onnx", pictures)


@pytest.fixture(scope="module")
def mobile(out):
    trained = random_trained_model(**MOBILE)
    write_onnx(trained, out / "mobile.onnx", outputs="logits")
    return trained, out / "mobile.onnx"


def dilations(path):
    """(rate, group) of the atrous convolutions of a file, in order of size."""
    given = map(attributes, atrous_convolutions(onnx.load(path)))
    return sorted((node["dilations"][0], node["group"]) for node in given)


def test_every_atrous_convolution_of_the_resnet_is_one_conv(exported):
    """Block 4 has twice the multi-grid (1, 2, 4), ASPP the paper's rates."""
    rates = [2, 4, 8, 6, 12, 18]
    assert dilations(exported.artefact) == sorted((rate, 1) for rate in rates)
    operations = [node.op_type for node in onnx.load(exported.artefact).graph.node]
    assert operations.count("Conv") == 33
    assert operations.count("Pad") == 1  # the pooling's
    # To channels first and back: at the pixels, at the logits, and at their upsampling.
    assert operations.count("Transpose") == 3


def test_every_atrous_depthwise_convolution_is_one_conv_too(mobile):
    depthwise = [(2, 96)] * 4 + [(2, 144)] * 3 + [(4, 240)] * 3
    assert dilations(mobile[1]) == sorted([*depthwise, (12, 1), (24, 1), (36, 1)])


def test_the_file_takes_any_number_of_images_of_any_size(exported):
    graph = onnx.load(exported.artefact).graph
    found = {
        value.name: (
            [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim],
            onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type),
        )
        for value in (*graph.input, *graph.output)
    }
    sides = ["batch", "height", "width"]
    assert found == {
        "images": ([*sides, 3], np.uint8),
        "labels": (sides, np.uint8),
        "logits": ([*sides, 6], np.float32),
    }


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("size", [(2, 65, 65), (1, 50, 71), (3, 33, 97)])
def test_both_runtimes_answer_as_keras(runtime, size, trained, exported):
    images = np.stack([random_picture(*size[1:], seed=seed) for seed in range(size[0])])
    labels, logits = RUNTIMES[runtime](exported.artefact)(images)
    expected = np.asarray(trained.model(images))
    np.testing.assert_allclose(logits, expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_array_equal(labels, logits.argmax(axis=-1))
    assert labels.dtype == np.uint8
    assert np.mean(labels == expected.argmax(axis=-1)) >= 0.999


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_mobile_net_with_only_logits_answers_as_keras(runtime, mobile):
    trained, file = mobile
    images = random_picture(50, 71)[None]
    labels, logits = RUNTIMES[runtime](file)(images)
    expected = np.asarray(trained.model(images))
    np.testing.assert_allclose(logits, expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_array_equal(labels, logits.argmax(axis=-1))


def test_the_report_has_both_runtimes(exported, out, pictures):
    report = json.loads((out / "parity.json").read_text())
    assert (report["artefact"], report["images"]) == ("model.onnx", len(pictures))
    assert set(report["runtimes"]) == {"onnxruntime", "openvino"}
    for runtime in report["runtimes"].values():
        assert report["label_agreement"] <= runtime["label_agreement"] <= 1
        assert runtime["largest_logit_difference"] < 1e-3
    assert {"tf2onnx", "onnx", "onnxruntime", "openvino"} < set(report["versions"])
    assert report["size_bytes"] == exported.artefact.stat().st_size


def test_the_description_is_read_back(trained, exported):
    text = open_onnx(exported.artefact).metadata["deeplab_tf.json"]
    assert parse_description(text, "ONNX file") == (
        trained.experiment,
        trained.classes,
    )


def test_the_predictor_and_the_benchmark_know_it(trained, exported, out):
    predictor = load_predictor(exported.artefact)
    assert (predictor.classes, predictor.experiment) == (trained.classes, trained.experiment)
    images = np.stack([random_picture(50, 71, seed=seed) for seed in range(2)])
    expected = np.asarray(trained.model(images)).argmax(axis=-1)
    assert np.mean(predictor.predict(images) == expected) >= 0.999
    assert exported.artefact in find_artefacts(out)
    assert (peak_memory(exported.artefact, (50, 71)) or 2e7) > 1e7
    with pytest.raises(DeeplabError, match="exported model, whose inference is fixed: --flip"):
        load_predictor(exported.artefact, flip=True)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_runtime_that_disagrees_leaves_nothing(
    runtime, trained, pictures, exported, tmp_path, monkeypatch
):
    """The other runtime's agreement does not help."""
    right = RUNTIMES[runtime](exported.artefact)
    wrong = lambda _: lambda images: ((right(images)[0] + 1) % 6, right(images)[1])  # noqa: E731
    monkeypatch.setitem(RUNTIMES, runtime, wrong)
    content = exported.artefact.read_bytes()
    monkeypatch.setattr(onnx_model, "write_onnx", lambda _, path, **kw: path.write_bytes(content))
    with pytest.raises(DeeplabError, match=f"in {runtime} is not published: .* 0.0000% of"):
        export_onnx(trained, tmp_path / "model.onnx", pictures)
    assert list(tmp_path.iterdir()) == []


def test_a_lowered_atrous_convolution_is_refused(trained, exported):
    model = onnx.load(exported.artefact)
    model.graph.node.remove(atrous_convolutions(model)[0])
    with pytest.raises(DeeplabError, match="each of the 6 atrous layers; .* Received: 5"):
        refuse_lowered_atrous(model, trained.model)


def test_padding_that_depends_on_the_size_is_refused():
    helper = onnx.helper
    for kernel, strides in (([2, 2], [1, 1]), ([3, 3], [2, 2])):
        conv = helper.make_node(
            "Conv", ["x"], ["y"], auto_pad="SAME_UPPER", kernel_shape=kernel, strides=strides
        )
        model = helper.make_model(helper.make_graph([conv], "one", [], []))
        with pytest.raises(DeeplabError, match="must not depend on the image's size"):
            pad_in_numbers(model)


def test_what_the_converter_does_not_know_is_reported(trained, tmp_path, capfd):
    def zeta(images, training):
        return tf.math.zeta(tf.cast(images, tf.float32), 2.0)

    trained = dataclasses.replace(trained, model=zeta)
    with pytest.raises(DeeplabError, match="the converter knows none for Zeta; export the model"):
        write_onnx(trained, tmp_path / "model.onnx")
    assert capfd.readouterr().err == ""
    assert list(tmp_path.iterdir()) == []


def test_files_of_others_and_damaged_ones_are_refused(exported, tmp_path):
    foreign = onnx.load(exported.artefact)
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(DeeplabError, match=r"has no deeplab_tf.json in its metadata"):
        load_predictor(tmp_path / "foreign.onnx")
    (tmp_path / "cut.onnx").write_bytes(exported.artefact.read_bytes()[:5000])
    with pytest.raises(DeeplabError, match=r"cut.onnx is damaged"):
        load_predictor(tmp_path / "cut.onnx")
    with pytest.raises(DeeplabError, match=r"none.onnx does not exist"):
        open_onnx(tmp_path / "none.onnx")


def test_without_onnx_runtime_the_error_names_it(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DeeplabError, match="pip install onnxruntime"):
        load_predictor(exported.artefact)
