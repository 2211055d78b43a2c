"""Which SavedModel is served, under which name and version."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from support.random_model import random_picture

from deeplab_tf.errors import DeeplabError
from deeplab_tf.inference.predictor import load_predictor
from deeplab_tf.serving.served_model import ServedModel, open_answering, open_served_model


def test_a_numbered_folder_is_a_version_of_its_parent(model_folder):
    model = open_served_model(model_folder)
    assert (model.name, model.version) == ("street", 3)
    assert set(model.signatures) == {"serving_default", "image_bytes"}
    assert open_served_model(model_folder, "road").name == "road"


def test_a_folder_without_a_number_is_version_1_under_its_name(model_folder, tmp_path):
    shutil.copytree(model_folder, tmp_path / "latest")
    model = open_served_model(tmp_path / "latest")
    assert (model.name, model.version) == ("latest", 1)


def test_a_model_that_cannot_answer_is_refused(model_folder, monkeypatch):
    def run(self, signature, images):
        assert images.shape == ((1,) if signature == "image_bytes" else (1, 65, 65, 3))
        if signature == "image_bytes":
            raise ValueError("no such\noperation")

    monkeypatch.setattr(ServedModel, "run", run)
    with pytest.raises(DeeplabError, match="'image_bytes' gave ValueError: no such operation: exp"):
        open_answering(model_folder)


def test_what_is_no_model_is_refused(model_folder, tmp_path):
    with pytest.raises(DeeplabError, match="must be a SavedModel, an OpenVINO model or a folder"):
        open_served_model(tmp_path / "nowhere")
    other = tmp_path / "other"
    shutil.copytree(model_folder, other)
    shutil.rmtree(other / "assets.extra")
    with pytest.raises(DeeplabError, match="was not written by deeplab-export"):
        open_served_model(other)
    broken = tmp_path / "broken"
    shutil.copytree(model_folder, broken)
    (broken / "saved_model.pb").write_bytes(b"broken")
    with pytest.raises(DeeplabError, match="is damaged"):
        open_served_model(broken)


def test_a_working_size_is_set_for_the_server_in_all_signatures(model_folder):
    picture = random_picture(70, 130)[None]
    whole, shrunk = open_served_model(model_folder), open_served_model(model_folder, None, 65)
    assert (whole.working.longest, shrunk.working.longest) == (None, 65)
    answers = [model.run("serving_default", picture)["labels"] for model in (whole, shrunk)]
    assert answers[0].shape == answers[1].shape and (answers[0] != answers[1]).any()
    encoded = np.array([tf.io.encode_png(picture[0]).numpy()], object)
    by_bytes = shrunk.run("image_bytes", encoded)["labels"]
    np.testing.assert_array_equal(by_bytes, answers[1])
    python = load_predictor(model_folder, lambda line: None, working_size=65)
    np.testing.assert_array_equal(python.predict(picture), answers[1])
