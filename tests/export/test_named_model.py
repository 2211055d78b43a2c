"""A published model behind deeplab-serve: exported once into the cache, as its `.keras` file."""

import hashlib

import numpy as np
from support.light_network import light_model, write_light
from support.random_model import random_picture

import deeplab_tf
from deeplab_tf.artefacts.saved_model import SAVED_MODEL_FILE
from deeplab_tf.export import named_model
from deeplab_tf.export.named_model import saved_model_of
from deeplab_tf.named import cache
from deeplab_tf.named.table import MODELS, NamedModel
from deeplab_tf.serving.served_model import open_served_model


def test_a_name_is_served_as_it_predicts(tmp_path, monkeypatch, forked_imports):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(cache.MIRROR, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    content = write_light(light_model(), tmp_path / "tiny.tflite").read_bytes()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    address = "https://nowhere/tiny.tflite"
    tiny = NamedModel(address, digest, 0.4, "none", "tflite", "6", "nothing")
    monkeypatch.setitem(MODELS, "tiny", tiny)
    said = []
    folder = saved_model_of("tiny", said.append)
    assert said[-1] == f"tiny: exporting a SavedModel into {folder}" and len(said) == 3
    served = open_served_model(folder, "tiny")
    assert (served.name, served.version) == ("tiny", 1)
    picture = random_picture(65, 65)
    labels = served.run("serving_default", picture[None])["labels"][0]
    np.testing.assert_array_equal(labels, deeplab_tf.load("tiny").segment(picture))
    assert saved_model_of("tiny", said.append) == folder and len(said) == 3


def test_only_the_savedmodel_of_this_version_is_kept(tmp_path, monkeypatch):
    """The exporters count as well, which lie beside the package in a checkout."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = cache.cache_folder("tiny") / "tiny-0123.keras"

    def export(trained, out, images):
        out.mkdir(parents=True)
        (out / SAVED_MODEL_FILE).touch()

    monkeypatch.setattr(named_model, "fetched_model", lambda name, report: path)
    monkeypatch.setattr(named_model, "load_model", lambda path, report: None)
    monkeypatch.setattr(named_model, "export_saved_model", export)
    said = []
    folder = saved_model_of("tiny", said.append)
    assert saved_model_of("tiny", said.append) == folder and len(said) == 1
    monkeypatch.setattr(named_model, "sources", lambda: "another version of the package")
    second = saved_model_of("tiny", said.append)
    assert second != folder and second.is_dir() and not folder.exists()
    monkeypatch.setattr(named_model, "EXPORTERS", tmp_path)
    (tmp_path / "saved_model.py").write_text("# a changed exporter\n")
    third = saved_model_of("tiny", said.append)
    assert third not in (folder, second)
    assert list(third.parent.glob("*saved-model*")) == [third]
