"""One exported random model, served in-process by the tests of this folder."""

import shutil

import pytest
import tensorflow as tf

from deeplab_tf.serving.served_model import open_served_model


@pytest.fixture(scope="session")
def model_folder(artefacts, tmp_path_factory):
    """A SavedModel as TensorFlow Serving wants it: street/3, the folder of version 3."""
    folder = tmp_path_factory.mktemp("models") / "street" / "3"
    shutil.copytree(artefacts / "saved", folder)
    return folder


@pytest.fixture(scope="session")
def model(model_folder):
    return open_served_model(model_folder)


@pytest.fixture(scope="session")
def reference(model_folder):
    """The SavedModel's own signatures, which every answer is compared with."""
    loaded = tf.saved_model.load(str(model_folder))

    def run(signature, images):
        value = tf.constant(images)
        outputs = loaded.signatures[signature](value)
        return {name: output.numpy() for name, output in outputs.items()}

    return run
