"""A small model with random weights, and its `.keras` file."""

import pytest
from support.random_model import random_trained_model

from deeplab_tf.artefacts.trained_model import save_model


@pytest.fixture(scope="session")
def trained():
    return random_trained_model()


@pytest.fixture(scope="session")
def keras_file(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("keras") / "model.keras"
    save_model(trained, path)
    return path
