"""The table of artefacts: what is measured, of which files."""

import numpy as np
import pytest

from deeplab_tf.artefacts.trained_model import TrainedModel, save_model
from deeplab_tf.config import Backbone, Experiment, ModelConfig, validate
from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.errors import DeeplabError
from deeplab_tf.export import benchmark
from deeplab_tf.export.benchmark import find_artefacts, format_measured, measure_artefacts
from deeplab_tf.export.litert import Options, write_litert
from deeplab_tf.export.peak_memory import peak_memory
from deeplab_tf.export.saved_model import write_saved_model
from deeplab_tf.images.classes import SHAPES
from deeplab_tf.inference.predictor import Predictor
from deeplab_tf.models import build_model


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    save_model(trained, folder / "model.keras")
    write_litert(trained, folder / "model.tflite", Options(image_size=(33, 49), outputs="labels"))
    return folder


def test_every_artefact_is_run_in_turns_beside_the_keras_model(folder, monkeypatch):
    ran = []
    load = benchmark.load_predictor

    def watched(path):
        predictor = load(path)

        def predict(images):
            ran.append((path.name, images.shape))
            return predictor.predict(images)

        return Predictor(predictor.classes, predict, predictor.image_format)

    monkeypatch.setattr(benchmark, "load_predictor", watched)
    monkeypatch.setattr(benchmark, "peak_memory", lambda path, size: 5_000_000)
    measured = measure_artefacts(folder / "model.keras", folder, (65, 65))
    turn = [("model.keras", (1, 65, 65, 3)), ("model.tflite", (1, 33, 49, 3))]
    assert ran[-40:] == turn * 20
    assert [len(one.seconds) for one in measured] == [20, 20]
    assert [one.size_bytes for one in measured] == [
        (folder / name).stat().st_size for name in ("model.keras", "model.tflite")
    ]
    head, *rows = format_measured(measured).splitlines()
    assert head.split() == "image median ms least most speed peak MB file MB".split()
    assert [row.split()[:2] for row in rows] == [
        ["model.keras", "65x65"],
        ["model.tflite", "33x49"],
    ]
    assert rows[0].split()[5:7] == ["1.00", "5"]


def test_peak_memory_is_that_of_a_process_of_its_own(folder):
    ballast = np.ones(1 << 26)  # 512 MB here is not counted there
    peak = peak_memory(folder / "model.tflite", (33, 49))
    assert peak is not None
    assert 10e6 < peak < ballast.nbytes


def test_what_does_not_run_and_an_empty_folder_are_reported(tmp_path, folder):
    with pytest.raises(DeeplabError, match="has no artefact to measure"):
        find_artefacts(tmp_path)
    (tmp_path / "a.tflite").write_bytes((folder / "model.tflite").read_bytes()[:99])
    with pytest.raises(DeeplabError, match="a.tflite does not run: .*damaged"):
        peak_memory(tmp_path / "a.tflite", (33, 49))


def test_a_model_of_other_bands_gets_what_it_takes(tmp_path, monkeypatch):
    model_config = ModelConfig(
        backbone=Backbone.RESNET_TINY,
        multi_grid=(1,),
        num_classes=6,
        image_format=ImageFormat(5, 16, (30_000.0,) * 5, (9_000.0,) * 5),
    )
    experiment = validate(Experiment(model=model_config))
    trained = TrainedModel(build_model(model_config), experiment, SHAPES)
    save_model(trained, tmp_path / "bands.keras")
    write_saved_model(trained, tmp_path / "served")
    monkeypatch.setattr(benchmark, "ROUNDS", 1)
    measured = measure_artefacts(tmp_path / "bands.keras", tmp_path, (33, 49))
    assert [one.path.name for one in measured] == ["bands.keras", "served"]
    assert all(one.peak_bytes and one.peak_bytes > 10e6 for one in measured)
