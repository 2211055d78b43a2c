"""The LiteRT file: its operations, its members, and that it answers as the Keras model."""

import dataclasses
import json
import shutil
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from PIL import Image
from support.random_model import random_picture, random_trained_model

from deeplab_tf.artefacts.description import parse_description
from deeplab_tf.config import Backbone
from deeplab_tf.errors import DeeplabError
from deeplab_tf.export import litert
from deeplab_tf.export import parity as parity_module
from deeplab_tf.export.export_model import export_model
from deeplab_tf.export.litert import Options, convert, export_litert, write_litert
from deeplab_tf.export.operations import litert_operations, refuse_space_to_batch

SIZE = (65, 81)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("litert")


@pytest.fixture(scope="module")
def float32(trained, pictures, out):
    return export_litert(trained, out / "model.tflite", pictures, Options(image_size=SIZE))


@pytest.fixture(scope="module")
def float16(trained, pictures, out, float32):
    file = out / "model_float16.tflite"
    return export_litert(trained, file, pictures, Options(image_size=SIZE, quantize="float16"))


@pytest.mark.parametrize("quantize", ["float32", "float16"])
def test_signature_and_answers(quantize, trained, request):
    exported = request.getfixturevalue(quantize)
    interpreter = Interpreter(model_path=str(exported.artefact))
    signature = {"inputs": ["images"], "outputs": ["labels", "logits"]}
    assert interpreter.get_signature_list() == {"serving_default": signature}
    serve = interpreter.get_signature_runner("serving_default")
    details = {**serve.get_input_details(), **serve.get_output_details()}
    found = {name: (d["shape"].tolist(), np.dtype(d["dtype"])) for name, d in details.items()}
    assert found == {
        "images": ([1, 65, 81, 3], np.uint8),
        "labels": ([1, 65, 81], np.int32),
        "logits": ([1, 65, 81, 6], np.float32),
    }
    picture = random_picture(*SIZE, seed=3)[None]
    answer, logits = serve(images=picture), np.asarray(trained.model(picture))
    tolerance = {"float32": 1e-4, "float16": 0.05}[quantize]
    np.testing.assert_allclose(answer["logits"], logits, atol=tolerance)
    np.testing.assert_array_equal(answer["labels"], answer["logits"].argmax(axis=-1))
    assert np.mean(answer["labels"] == logits.argmax(axis=-1)) > 0.99


def test_batch_norm_is_folded_and_padding_is_left_out(float32):
    """The map is 9x11: nine taps read it at rates 2, 2, 4 and 8, and one at 16, 12, 24 and 36."""
    operations = litert_operations(float32.artefact.read_bytes())
    taps = 4 * 9 + 4 * 1
    # One addition of the mean pixel and seven of shortcuts; four of a batch norm.
    assert operations.pop("ADD") == 8 + (taps - 8) + 4
    # Four batch norms after taps: the converter folds only into convolutions.
    assert operations.pop("MUL") == 4
    assert operations == {
        "CAST": 1,
        "CONV_2D": 33 - 8,
        "FULLY_CONNECTED": taps,
        "STRIDED_SLICE": taps - 8,  # the middle tap reads the whole map
        "PAD": 1 + taps - 8,
        "MAX_POOL_2D": 1,
        "MEAN": 1,
        "BROADCAST_TO": 1,
        "CONCATENATION": 1,
        "RESIZE_BILINEAR": 1,
        "ARG_MAX": 1,
    }


@pytest.mark.parametrize("upsampling", ["align_corners", "half_pixel"])
def test_an_open_size_has_no_space_to_batch_either(upsampling):
    trained = random_trained_model(backbone=Backbone.RESNET_SLIM, upsampling=upsampling)
    content = convert(trained, Options(image_size=None, quantize="none"))[0]
    operations = litert_operations(content)
    assert operations["CONV_2D"] == 33
    assert "MUL" not in operations or operations["MUL"] <= 2  # the size, not batch norms
    assert not [name for name in operations if "BATCH" in name]


def test_the_reader_would_see_space_to_batch():
    kernel = tf.ones((3, 3, 4, 4))

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 4))])
    def through_space_to_batch(x):
        x = tf.space_to_batch(x, [2, 2], [[0, 0], [0, 0]])
        return tf.batch_to_space(tf.nn.conv2d(x, kernel, 1, "SAME"), [2, 2], [[0, 0], [0, 0]])

    concrete = through_space_to_batch.get_concrete_function()
    content = tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()
    operations = litert_operations(content)
    assert operations["SPACE_TO_BATCH_ND"] == 1
    with pytest.raises(DeeplabError, match="Received: 1 SPACE_TO_BATCH_ND"):
        refuse_space_to_batch(operations, "it")


def test_float16_takes_half_the_size(float32, float16):
    assert float16.size_bytes < 0.55 * float32.size_bytes


def test_members_and_both_interpreters_from_path_and_bytes(trained, float32):
    with zipfile.ZipFile(float32.artefact) as archive:
        assert archive.testzip() is None
        description = parse_description(archive.read("deeplab_tf.json"), "LiteRT file")
        names = archive.read("labels.txt").decode().splitlines()
    assert description == (trained.experiment, trained.classes)
    assert names == list(trained.classes.names)
    content = float32.artefact.read_bytes()
    picture, answers = random_picture(*SIZE)[None], []
    for interpreter_class in (Interpreter, tf.lite.Interpreter):
        for source in ({"model_path": str(float32.artefact)}, {"model_content": content}):
            serve = interpreter_class(**source).get_signature_runner("serving_default")
            answers.append(serve(images=picture)["labels"])
    assert all(np.array_equal(answers[0], answer) for answer in answers)


def test_an_export_done_again_is_the_same_bytes(trained, float32, tmp_path):
    write_litert(trained, tmp_path / "again.tflite", Options(image_size=SIZE))
    assert (tmp_path / "again.tflite").read_bytes() == float32.artefact.read_bytes()


def test_reports_lie_beside_and_not_over_each_other(out, float32, float16, pictures):
    assert sorted(path.name for path in out.iterdir()) == [
        "model.tflite",
        "model_float16.parity.json",
        "model_float16.tflite",
        "parity.json",
    ]
    for exported, threshold in ((float32, 0.999), (float16, 0.995)):
        report = json.loads(exported.report.read_text())
        assert report["artefact"] == exported.artefact.name
        assert report["threshold"] == threshold
        assert threshold <= report["label_agreement"] <= 1
        assert report["images"] == len(pictures)
        assert report["size_bytes"] == exported.artefact.stat().st_size
    assert litert.report_path(float32.artefact).name == "parity.json"


def test_the_default_size_is_that_of_the_training_crop(trained, tmp_path, monkeypatch):
    data = dataclasses.replace(trained.experiment.data, crop_size=65, crop_width=81)
    wide = dataclasses.replace(
        trained, experiment=dataclasses.replace(trained.experiment, data=data)
    )
    given = []
    monkeypatch.setattr(litert, "export_litert", lambda *arguments: given.append(arguments[3]))
    Image.fromarray(random_picture(30, 20)).save(tmp_path / "a.png")
    export_model(wide, tmp_path / "out", "litert", images=tmp_path / "a.png")
    assert given[0].image_size == (65, 81)


def test_disagreement_leaves_nothing_and_gives_the_numbers(
    trained, pictures, float32, tmp_path, monkeypatch
):
    def copy(trained, path, *arguments):
        shutil.copy(float32.artefact, path)

    monkeypatch.setattr(litert, "write_litert", copy)
    monkeypatch.setitem(parity_module.THRESHOLDS, "none", 1.1)
    with pytest.raises(DeeplabError, match=r"on \d+\.\d+% of the pixels of 3 images, under 110"):
        export_litert(trained, tmp_path / "model.tflite", pictures, Options(image_size=SIZE))
    assert list(tmp_path.iterdir()) == []


def test_other_weights_than_the_models_are_found_out(trained, pictures, tmp_path, monkeypatch):
    """The comparison reads the written file: here one whose last bias is not the model's."""
    other = random_trained_model(backbone=Backbone.RESNET_SLIM)
    kernel, bias = other.model.get_layer("logits").get_weights()
    other.model.get_layer("logits").set_weights([kernel, bias + np.eye(6)[0] * 9])
    write = litert.write_litert
    monkeypatch.setattr(litert, "write_litert", lambda _, *args, **kw: write(other, *args, **kw))
    with pytest.raises(DeeplabError, match="not published"):
        export_litert(trained, tmp_path / "model.tflite", pictures, Options(image_size=(33, 33)))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_the_earlier_export(trained, pictures, tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "model.tflite", "w") as earlier:
        earlier.writestr("deeplab_tf.json", "{}")
    before = (tmp_path / "model.tflite").read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(litert.zipfile.ZipFile, "writestr", full)
    with pytest.raises(OSError, match="No space left"):
        export_litert(trained, tmp_path / "model.tflite", pictures, Options(image_size=(33, 33)))
    assert [path.name for path in tmp_path.iterdir()] == ["model.tflite"]
    assert (tmp_path / "model.tflite").read_bytes() == before


def test_the_converter_refuses_what_has_no_builtin(monkeypatch, capfd):
    trained = random_trained_model()
    model = trained.model
    monkeypatch.setattr(trained, "model", lambda x, training: tf.math.zeta(model(x), 2.0))
    trained.model.variables = model.variables
    with pytest.raises(DeeplabError, match=r"converter refused the model: .*Zeta"):
        convert(trained, Options(image_size=(33, 33), quantize="none"))[0]
    assert capfd.readouterr().err == ""


def test_a_saved_models_directory_or_a_file_is_not_written_into(trained, pictures, tmp_path):
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(DeeplabError, match="holds a SavedModel"):
        export_litert(trained, tmp_path / "model.tflite", pictures, Options(image_size=(33, 33)))
    with pytest.raises(DeeplabError, match="is a file"):
        export_litert(
            trained,
            tmp_path / "saved_model.pb" / "model.tflite",
            pictures,
            Options(image_size=(33, 33)),
        )
