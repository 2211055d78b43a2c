"""Models that jobs of Beam in this process load once, in place of twice in each job."""

import functools
import pathlib

import pytest

from deeplab_tf.inference import model_handler
from deeplab_tf.inference.predictor import Predictor, load_predictor


@functools.cache
def predictor_of(path: pathlib.Path, **overrides) -> Predictor:
    """`load_predictor`, which reports nothing; the file must not change."""
    return load_predictor(path, lambda line: None, **overrides)


@pytest.fixture(autouse=True)
def loaded_once(monkeypatch):
    """Has the jobs of a test module that imports this take their exported models from memory."""

    def load(path, report, **overrides):
        return predictor_of(path, **overrides)

    monkeypatch.setattr(model_handler, "load_predictor", load)
