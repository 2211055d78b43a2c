"""A small model with random weights, and its `.keras` file."""

import pytest
from support.random_model import shared_model


@pytest.fixture(scope="session")
def trained():
    return shared_model()


@pytest.fixture(scope="session")
def keras_file(artefacts):
    return artefacts / "model.keras"
