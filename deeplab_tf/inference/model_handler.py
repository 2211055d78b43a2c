"""A model for Beam's `RunInference`: any artefact of ours, with pictures of any sizes.

Tested in tests/prediction/test_beam_predict.py.
"""

import dataclasses
import functools
import os
import pathlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from apache_beam.ml.inference.base import ModelHandler

from deeplab_tf.artefacts.trained_model import load_model
from deeplab_tf.config import EvaluateConfig
from deeplab_tf.inference.batches import (
    WAITING_PIXELS,
    Picture,
    Predicted,
    predict_batches,
)
from deeplab_tf.inference.predictor import Predictor, load_predictor, trained_predictor
from deeplab_tf.inference.wanted import Wanted

GATHERED = 4
"""The pictures in one batch of Beam, as a multiple of the batch size.

Pictures of one size in a batch of Beam go through the network together. The labels of such a batch
are written after the whole batch, and the batch is done again where its worker was killed.
"""


@dataclasses.dataclass(frozen=True)
class Model:
    """The model that a worker loads.

    Attributes:
        path: any artefact that `load_predictor` takes.
        overrides: the other arguments of `load_predictor`.
        evaluate_config: the inference strategy of a Keras model; None for the strategy that its
            experiment and `overrides` say.
    """

    path: pathlib.Path
    overrides: dict[str, Any] = dataclasses.field(default_factory=dict)
    evaluate_config: EvaluateConfig | None = None

    def load(self) -> Predictor:
        """Loads the predictor; raises `DeeplabError` as `load_predictor` does."""
        if self.evaluate_config is None:
            return load_predictor(self.path, _no_note, **self.overrides)
        return trained_predictor(load_model(self.path, _no_note), self.evaluate_config, _no_note)


def _no_note(line: str) -> None:
    """Drops what a worker would report: the process that started the workers reports it."""


@dataclasses.dataclass(frozen=True)
class _Loaded:
    predictor: Predictor
    lock: threading.Lock
    """A lock for one batch at a time: the network uses all cores by itself, memory is for one
    batch, and a LiteRT interpreter is not safe to share."""


class PredictorHandler(ModelHandler[Picture[Any], Predicted[Any], _Loaded]):
    """A Beam handler that loads a model once a process and predicts pictures, size by size.

    Beam's `TFModelHandlerTensor` would stack all pictures, which must then be of one size.
    """

    def __init__(self, model: Model, batch_size: int, wanted: Wanted = Wanted.LABELS):
        super().__init__()
        self._model = model
        self._batch_size = batch_size
        self._wanted = wanted

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        # Beam's batch size is counted in pixels here, since pixels decide the memory.
        return {
            "min_batch_size": WAITING_PIXELS,
            "max_batch_size": WAITING_PIXELS,
            "element_size_fn": functools.partial(_weight, most=GATHERED * self._batch_size),
        }

    def load_model(self) -> _Loaded:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        return _Loaded(self._model.load(), threading.Lock())

    def run_inference(
        self,
        batch: Sequence[Picture[Any]],
        model: _Loaded,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterable[Predicted[Any]]:
        with model.lock:
            return list(predict_batches(model.predictor, batch, self._batch_size, self._wanted))

    def get_num_bytes(self, batch: Sequence[Picture[Any]]) -> int:
        return sum(picture.pixels.nbytes for picture in batch)


def _weight(picture: Picture[Any], most: int) -> int:
    """Returns the pixels of a picture, within limits.

    The limits let a batch have at least one picture and at most `most`.
    """
    pixels = picture.pixels.shape[0] * picture.pixels.shape[1]
    return min(max(pixels, WAITING_PIXELS // most), WAITING_PIXELS)
