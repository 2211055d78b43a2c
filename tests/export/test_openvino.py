"""The OpenVINO model: its operations, its description, its kinds, and that it answers as Keras."""

import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image
from support.random_model import random_picture, random_trained_model

from deeplab_tf.artefacts.description import parse_description
from deeplab_tf.artefacts.openvino import compile_for_cpu, import_openvino, open_openvino
from deeplab_tf.config import Backbone
from deeplab_tf.errors import DeeplabError
from deeplab_tf.export import openvino_model
from deeplab_tf.export.benchmark import find_artefacts
from deeplab_tf.export.export_model import export_model
from deeplab_tf.export.images import ComparedImage
from deeplab_tf.export.openvino_model import (
    atrous_convolutions,
    export_openvino,
    is_own_openvino,
    write_openvino,
)
from deeplab_tf.export.parity import THRESHOLDS
from deeplab_tf.export.peak_memory import peak_memory
from deeplab_tf.inference.predictor import load_predictor
from deeplab_tf.machine.system import usable_cores

openvino = import_openvino()


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("openvino")


@pytest.fixture(scope="module")
def exported(trained, pictures, out):
    return export_openvino(trained, out / "model", pictures)


@pytest.fixture(scope="module")
def tiny():
    return random_trained_model(backbone=Backbone.RESNET_TINY, multi_grid=(1,))


def read(folder):
    return openvino.Core().read_model(folder / "model.xml")


def kinds(model):
    return [operation.get_type_name() for operation in model.get_ops()]


def test_every_atrous_convolution_is_one_operation_and_batch_norms_are_folded(exported):
    model = read(exported.artefact)
    rates = [op.get_attributes()["dilations"][0] for op in atrous_convolutions(model)]
    assert sorted(rates) == [2, 4, 6, 8, 12, 18]
    assert kinds(model).count("Convolution") == 33
    assert {"SpaceToBatch", "BatchToSpace", "BatchNormInference"}.isdisjoint(kinds(model))


def test_the_model_takes_any_number_of_images_of_any_size(exported):
    model = read(exported.artefact)
    ports = {
        port.any_name: (str(port.partial_shape), port.element_type.to_dtype())
        for port in (*model.inputs, *model.outputs)
    }
    assert ports == {
        "images": ("[?,?,?,3]", np.uint8),
        "labels": ("[?,?,?]", np.uint8),
        "logits": ("[?,?,?,6]", np.float32),
    }


@pytest.mark.parametrize("size", [(2, 65, 65), (1, 50, 71), (3, 33, 97)])
def test_it_answers_as_keras(size, trained, exported):
    images = np.stack([random_picture(*size[1:], seed=seed) for seed in range(size[0])])
    labels, logits = open_openvino(exported.artefact).run(images)
    expected = np.asarray(trained.model(images))
    np.testing.assert_allclose(logits, expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_array_equal(labels, logits.argmax(axis=-1))
    assert labels.dtype == np.uint8
    assert np.mean(labels == expected.argmax(axis=-1)) >= 0.999


def test_it_computes_in_float32_on_the_cores_of_this_process(exported):
    compiled = compile_for_cpu(str(exported.artefact / "model.xml"))
    assert compiled.get_property("INFERENCE_PRECISION_HINT") == openvino.Type.f32
    assert compiled.get_property("INFERENCE_NUM_THREADS") <= usable_cores()


def test_the_folder_says_what_it_is(trained, exported, out, pictures):
    names = sorted(path.name for path in exported.artefact.iterdir())
    assert names == ["model.bin", "model.xml", "parity.json"]
    assert is_own_openvino(exported.artefact)
    report = json.loads((exported.artefact / "parity.json").read_text())
    assert (report["format"], report["images"]) == ("openvino", len(pictures))
    assert report["label_agreement"] >= 0.999
    assert "openvino" in report["versions"] and "nncf" not in report["versions"]
    text = open_openvino(exported.artefact).description
    described = parse_description(text, "OpenVINO model")
    assert described == (trained.experiment, trained.classes)
    xml = (exported.artefact / "model.xml").read_bytes()
    assert b"\r" not in xml and str(out).encode() not in xml


def test_it_replaces_its_own_folder_and_no_other(
    trained, pictures, exported, tmp_path, monkeypatch
):
    def copy(_, folder, **options):
        for name in ("model.xml", "model.bin"):
            shutil.copy(exported.artefact / name, folder)

    monkeypatch.setattr(openvino_model, "write_openvino", copy)
    for _ in range(2):
        export_openvino(trained, tmp_path / "model", pictures[:1])
    assert len(list(tmp_path.iterdir())) == 1
    (tmp_path / "model" / "thesis.txt").write_text("mine")
    with pytest.raises(DeeplabError, match="would be replaced"):
        export_openvino(trained, tmp_path / "model", pictures[:1])


@pytest.mark.parametrize("name", ["model", "model/model.xml"])
def test_the_predictor_and_the_benchmark_know_it(name, trained, exported, out):
    predictor = load_predictor(out / name)
    assert (predictor.classes, predictor.experiment) == (trained.classes, trained.experiment)
    images = np.stack([random_picture(50, 71, seed=seed) for seed in range(2)])
    expected = np.asarray(trained.model(images))
    assert np.mean(predictor.predict(images) == expected.argmax(axis=-1)) >= 0.999
    scores = predictor.scores(images).values
    np.testing.assert_allclose(scores, expected, atol=1e-4 * np.abs(expected).max())
    with pytest.raises(DeeplabError, match="exported model, whose inference is fixed: --flip"):
        load_predictor(out / name, flip=True)
    assert exported.artefact in find_artefacts(out)


def test_its_memory_is_measured_without_tensorflow(exported):
    assert 1e7 < (peak_memory(exported.artefact, (50, 71)) or 2e7) < 4e8


def test_float16_halves_the_weights_and_gives_only_labels(tiny, tmp_path):
    write_openvino(tiny, tmp_path, quantize="float16", outputs="labels")
    numbers = sum(layer.count_params() for layer in tiny.model.layers)
    assert (tmp_path / "model.bin").stat().st_size < 2.2 * numbers
    picture = random_picture(50, 71)[None]
    labels, logits = open_openvino(tmp_path).run(picture)
    assert logits is None
    expected = np.asarray(tiny.model(picture)).argmax(axis=-1)
    assert np.mean(labels == expected) >= 0.99


def test_int8_computes_in_integers(tiny, tmp_path, capfd, monkeypatch):
    """A random network has no margin between classes: LiteRT's int8 file agrees on 89 %."""
    pytest.importorskip("nncf")
    monkeypatch.setitem(THRESHOLDS, "int8", 0.8)
    named = [ComparedImage(str(i), random_picture(50, 60 + i, i)) for i in range(6)]
    out, taken = tmp_path / "int8", set()
    exported = export_openvino(tiny, out, named[:3], quantize="int8", calibration=named[3:])
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")
    report = json.loads((out / "parity.json").read_text())
    assert (report["calibration_images"], report["calibration_images_compared"]) == (3, 0)
    assert "nncf" in report["versions"]
    assert exported.parity.label_agreement < 1
    model = read(out)
    for operation in model.get_ops():
        if operation.get_type_name() == "Convolution":
            weights = operation.input_value(1).get_node()
            while weights.get_type_name() != "Constant":
                weights = weights.input_value(0).get_node()
            taken.add(weights.get_element_type())
    assert taken == {openvino.Type.i8}
    with pytest.raises(DeeplabError, match="no image to calibrate int8 on"):
        write_openvino(tiny, tmp_path, quantize="int8")


def test_int8_by_the_same_images_shares_them_out(tiny, tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        openvino_model,
        "export_openvino",
        lambda trained, out, images, **options: seen.update(images=images, **options),
    )
    for index in range(5):
        Image.fromarray(random_picture(20, 30, index)).save(tmp_path / f"{index}.png")
    export_model(tiny, tmp_path / "out", "openvino", images=tmp_path, quantize="int8")
    names = [[p.name.rpartition("/")[2] for p in seen[n]] for n in ("images", "calibration")]
    assert names == [["1.png", "3.png", "4.png"], ["0.png", "2.png"]]


def test_a_model_that_disagrees_leaves_nothing(trained, pictures, exported, tmp_path, monkeypatch):
    right = open_openvino(exported.artefact).run

    class Wrong:
        def run(self, images):
            labels, logits = right(images)
            return (labels + 1) % 6, logits

    monkeypatch.setattr(openvino_model, "open_openvino", lambda _: Wrong())
    monkeypatch.setattr(
        openvino_model, "write_openvino", lambda _, path, **kw: (path / "model.bin").touch()
    )
    with pytest.raises(DeeplabError, match="OpenVINO model .* is not published: .* 0.0000% of"):
        export_openvino(trained, tmp_path / "model", pictures)
    assert list(tmp_path.iterdir()) == []


def test_what_is_damaged_foreign_or_no_kind_is_refused(trained, exported, tmp_path):
    def copied(name):
        return shutil.copytree(exported.artefact, tmp_path / name)

    content = (exported.artefact / "model.bin").read_bytes()
    (copied("cut") / "model.bin").write_bytes(content[: len(content) // 2])
    (copied("torn") / "model.xml").write_bytes(b"<net>")
    (copied("alone") / "model.bin").unlink()
    others = np.frombuffer(content, np.float32).copy()
    others[len(others) // 2] += 1  # another model's weights of the same size
    (copied("mixed") / "model.bin").write_bytes(others.tobytes())
    with pytest.raises(DeeplabError, match=r"mixed/model.bin is not the file that .* copy both"):
        load_predictor(tmp_path / "mixed")
    for name in ("cut", "torn", "alone"):
        with pytest.raises(DeeplabError, match=rf"{name}/model.xml is damaged, or its model.bin"):
            load_predictor(tmp_path / name)
    foreign = copied("foreign") / "model.xml"
    foreign.write_text(foreign.read_text().replace("<deeplab_tf.json ", "<other.json "))
    with pytest.raises(DeeplabError, match="has no deeplab_tf.json in its rt_info"):
        load_predictor(foreign)
    assert not is_own_openvino(tmp_path / "foreign")
    with pytest.raises(DeeplabError, match=r"none/model.xml does not exist"):
        open_openvino(tmp_path / "none")
    with pytest.raises(DeeplabError, match="quantised by none, float16, int8. Received: 'dynamic'"):
        export_openvino(trained, tmp_path / "dynamic", [], quantize="dynamic")


def test_missing_packages_are_named(exported, trained, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(DeeplabError, match="--quantize=int8 .* needs nncf: pip install nncf"):
        export_openvino(trained, tmp_path / "int8", [], quantize="int8")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(DeeplabError, match="need OpenVINO: pip install openvino"):
        load_predictor(exported.artefact)
    monkeypatch.delitem(sys.modules, "deeplab_tf.export.openvino_model")
    monkeypatch.delattr("deeplab_tf.export.openvino_model")
    picture = tmp_path / "a.png"
    Image.new("RGB", (9, 9)).save(picture)
    with pytest.raises(DeeplabError, match="export needs openvino: pip install openvino nncf"):
        export_model(trained, tmp_path / "out", "openvino", images=picture)
    assert not (tmp_path / "out").exists()


def test_nothing_is_reported_to_its_makers(monkeypatch):
    """OpenVINO's converter and NNCF import this module, and do without where it is not there."""
    monkeypatch.delitem(sys.modules, "openvino_telemetry", raising=False)
    import_openvino()
    with pytest.raises(ImportError):
        import openvino_telemetry  # noqa: F401  # pyright: ignore[reportMissingImports]
