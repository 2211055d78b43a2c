"""Which SavedModel is served, under which name and version."""

import shutil

import pytest

from deeplab_tf.errors import DeeplabError
from deeplab_tf.serving.served_model import open_served_model


def test_a_numbered_folder_is_a_version_of_its_parent(model_folder):
    model = open_served_model(model_folder)
    assert (model.name, model.version) == ("street", 3)
    assert set(model.signatures) == {"serving_default", "image_bytes"}
    assert open_served_model(model_folder, "road").name == "road"


def test_of_several_versions_the_highest_is_taken(model_folder, tmp_path):
    base = tmp_path / "town"
    for version in ("9", "10", "latest"):
        shutil.copytree(model_folder, base / version)
    model = open_served_model(base)
    assert (model.name, model.version) == ("town", 10)
    model = open_served_model(base / "latest")
    assert (model.name, model.version) == ("latest", 1)


def test_what_is_no_model_is_refused(model_folder, tmp_path):
    with pytest.raises(DeeplabError, match="must be a SavedModel or a folder of numbered"):
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
