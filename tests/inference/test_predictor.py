import shutil
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from support.random_model import random_picture, random_trained_model

from deeplab_tf.artefacts.description import DESCRIPTION
from deeplab_tf.artefacts.stated_classes import stated_classes
from deeplab_tf.artefacts.trained_model import read_model_config, save_model
from deeplab_tf.errors import DeeplabError
from deeplab_tf.export.litert import Options, write_litert
from deeplab_tf.images.classes import SHAPES
from deeplab_tf.images.frame import predict_in_frame
from deeplab_tf.inference.predictor import load_predictor
from deeplab_tf.models import with_output_stride
from deeplab_tf.runs.workdir import data_to_json

FRAME = (49, 65)


@pytest.fixture(scope="module")
def litert_file(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("litert") / "model.tflite"
    write_litert(trained, path, Options(image_size=FRAME))
    return path


@pytest.fixture(scope="module")
def saved_model(artefacts):
    return artefacts / "saved"


def argmax(model: keras.Model, image: np.ndarray) -> np.ndarray:
    return model(image[None]).numpy()[0].argmax(-1)


def test_keras_file(trained, keras_file):
    image = random_picture(40, 53)
    predictor = load_predictor(keras_file)
    assert predictor.classes == SHAPES
    labels = predictor.predict(image[None])[0]
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, argmax(trained.model, image))
    assert len(np.unique(labels)) > 1


def test_output_stride_is_taken(trained, keras_file):
    image = random_picture(49, 65)
    labels = load_predictor(keras_file, output_stride=8).predict(image[None])[0]
    at_8 = with_output_stride(trained.model, trained.experiment.model, 8)
    np.testing.assert_array_equal(labels, argmax(at_8, image))
    assert (labels != argmax(trained.model, image)).any()


def test_the_experiment_says_how_to_predict(tmp_path):
    trained = random_trained_model()
    trained.experiment.evaluate.output_stride = 8
    save_model(trained, tmp_path / "model.keras")
    image = random_picture(49, 65)
    at_8 = with_output_stride(trained.model, trained.experiment.model, 8)
    np.testing.assert_array_equal(
        load_predictor(tmp_path / "model.keras").predict(image[None])[0], argmax(at_8, image)
    )


def test_saved_model(trained, saved_model):
    predictor = load_predictor(saved_model)
    assert predictor.classes == SHAPES
    for size in ((40, 53), (1, 1)):
        image = random_picture(*size)
        labels = predictor.predict(image[None])[0]
        assert labels.dtype == np.uint8
        np.testing.assert_array_equal(labels, argmax(trained.model, image))


def test_litert_file_at_its_size(trained, litert_file):
    image = random_picture(*FRAME)
    predictor = load_predictor(litert_file)
    assert predictor.classes == SHAPES
    labels = predictor.predict(image[None])[0]
    assert labels.dtype == np.uint8
    assert np.mean(labels == argmax(trained.model, image)) > 0.999


@pytest.mark.parametrize("size", [(20, 30), (100, 40), (500, 375), (1, 1), (1, 2000), (2000, 1)])
def test_litert_file_at_other_sizes(litert_file, size):
    labels = load_predictor(litert_file).predict(random_picture(*size)[None])[0]
    assert labels.shape == size
    assert labels.max() < SHAPES.num_classes


def test_small_image_is_padded_with_the_mean(trained, litert_file):
    image = random_picture(20, 30)
    padded = np.empty((*FRAME, 3), np.uint8)
    padded[:] = (123, 116, 103)  # the mean of mean_subtraction, rounded
    padded[:20, :30] = image
    labels = load_predictor(litert_file).predict(image[None])[0]
    assert np.mean(labels == argmax(trained.model, padded)[:20, :30]) > 0.999


def test_large_image_is_shrunk_and_its_labels_enlarged():
    image = np.zeros((40, 100, 3), np.uint8)
    image[:, 50:] = 200
    seen = []

    def run(framed):
        seen.append(framed)
        return (framed[..., 0] > 100).astype(np.int32), None

    labels = predict_in_frame(image, (50, 50), np.array([7, 8, 9], np.uint8), run)
    assert seen[0].shape == (1, 50, 50, 3)
    small = Image.fromarray(image).resize((50, 20), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(seen[0][0, :20], np.asarray(small))
    assert (seen[0][0, 20:] == [7, 8, 9]).all()
    np.testing.assert_array_equal(labels, image[..., 0] > 100)
    assert labels.dtype == np.uint8


def test_classes_are_stated_without_the_network(keras_file, litert_file, saved_model, tmp_path):
    bare = tmp_path / "bare"
    (bare / "assets.extra").mkdir(parents=True)
    shutil.copy(saved_model / "assets.extra" / DESCRIPTION, bare / "assets.extra")
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text("{}")
    (run / "data.json").write_text(data_to_json(SHAPES, "0"))
    for path in (keras_file, litert_file, saved_model, bare, run):
        assert stated_classes(path) == SHAPES
    (tmp_path / "others.tflite").write_bytes(b"TFL3")
    assert stated_classes(tmp_path / "others.tflite") is None
    assert stated_classes(tmp_path / "a-name") is None


@pytest.mark.parametrize("option", [{"output_stride": 8}, {"scales": (1.0,)}, {"flip": False}])
def test_exported_models_take_no_options(litert_file, saved_model, option):
    for path in (litert_file, saved_model):
        with pytest.raises(DeeplabError, match="whose inference is fixed"):
            load_predictor(path, **option)


def test_bad_paths_are_named(tmp_path, litert_file, saved_model):
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(litert_file.read_bytes()[:-1000])
    with pytest.raises(DeeplabError, match=r"cut\.tflite is cut off"):
        load_predictor(cut)
    with pytest.raises(DeeplabError, match=r"gone\.tflite does not exist"):
        load_predictor(tmp_path / "gone.tflite")
    with pytest.raises(DeeplabError, match=r"must be a .keras file or a workdir"):
        load_predictor(tmp_path)
    foreign = tmp_path / "foreign"
    tf.saved_model.save(tf.Module(), str(foreign))
    with pytest.raises(DeeplabError, match=r"has no assets\.extra/deeplab_tf\.json"):
        load_predictor(foreign)
    broken = tmp_path / "broken"
    shutil.copytree(saved_model, broken)
    (broken / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(DeeplabError, match=r"SavedModel .*broken is damaged"):
        load_predictor(broken)


DAMAGED = [
    (b'{"labels": ', "JSONDecodeError"),
    (b"\xff", "UnicodeDecodeError"),
    (b"[]", "TypeError"),
    (b"{}", "KeyError: 'experiment'"),
    (b'{"experiment": {}}', "KeyError: 'labels'"),
    (b'{"experiment": {}, "labels": {"names": []}}', "KeyError: 'dataset'"),
]


@pytest.mark.parametrize(("text", "reason"), DAMAGED)
def test_a_damaged_description_is_named_with_its_artefact(tmp_path, saved_model, text, reason):
    said = f"is damaged: its deeplab_tf.json must be .*{reason}"
    folder = tmp_path / "broken"
    shutil.copytree(saved_model, folder)
    (folder / "assets.extra" / "deeplab_tf.json").write_bytes(text)
    with pytest.raises(DeeplabError, match=f"SavedModel {folder} {said}") as error:
        load_predictor(folder)
    assert "\n" not in str(error.value)
    path = tmp_path / "broken.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("deeplab_tf.json", text)
    with pytest.raises(DeeplabError, match=f"model {path} {said}"):
        load_predictor(path)
    if b'"experiment"' not in text:
        with pytest.raises(DeeplabError, match=f"model {path} {said}"):
            read_model_config(path)
    path = tmp_path / "broken.tflite"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("deeplab_tf.json", text)
    with pytest.raises(DeeplabError, match=f"LiteRT file {path} {said}"):
        load_predictor(path)


def test_a_wrong_experiment_is_named_with_its_artefact(tmp_path):
    path = tmp_path / "broken.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("deeplab_tf.json", '{"experiment": {"train": {"steps": "many"}}}')
    with pytest.raises(DeeplabError, match=f"model {path}: config is not valid.*train.steps"):
        read_model_config(path)
