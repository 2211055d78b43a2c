"""A model for Beam's `RunInference`: any artefact of ours, with pictures of any sizes."""

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
from deeplab_tf.inference.batches import WAITING_PIXELS, Picture, Predicted, predict_batches
from deeplab_tf.inference.predictor import Predictor, load_predictor, trained_predictor

GATHERED = 4
"""Times the batch size: so many pictures are in one batch of Beam's, and of these those of one size
go through the network together. They are written after that, and done again where it was killed."""


@dataclasses.dataclass(frozen=True)
class Model:
    """What a worker loads.

    Attributes:
        path: any artefact that `load_predictor` takes.
        overrides: as its arguments.
        settings: how a Keras model infers instead; None for what `overrides` say.
    """

    path: pathlib.Path
    overrides: dict[str, Any] = dataclasses.field(default_factory=dict)
    settings: EvaluateConfig | None = None

    def load(self) -> Predictor:
        """Loads it; raises `DeeplabError` as `load_predictor`."""
        if self.settings is None:
            return load_predictor(self.path, **self.overrides)
        return trained_predictor(load_model(self.path), self.settings)


@dataclasses.dataclass(frozen=True)
class _Loaded:
    predictor: Predictor
    lock: threading.Lock
    """One batch at a time: the network uses all cores itself, memory is one batch's, and a LiteRT
    interpreter is not safe to share."""


class PredictorHandler(ModelHandler[Picture[Any], Predicted[Any], _Loaded]):
    """Loads a model once a process and predicts pictures, those of one size together.

    Beam's `TFModelHandlerTensor` stacks all that comes, which pictures of several sizes are not fit
    for.
    """

    def __init__(self, model: Model, batch_size: int):
        super().__init__()
        self._model = model
        self._batch_size = batch_size

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        # Beam's size of a batch is counted in pixels here: memory is bounded by them.
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
            return list(predict_batches(model.predictor, batch, self._batch_size))

    def get_num_bytes(self, batch: Sequence[Picture[Any]]) -> int:
        return sum(picture.pixels.nbytes for picture in batch)


def _weight(picture: Picture[Any], most: int) -> int:
    """Its pixels, so that a batch has at least one picture and at most `most`."""
    pixels = picture.pixels.shape[0] * picture.pixels.shape[1]
    return min(max(pixels, WAITING_PIXELS // most), WAITING_PIXELS)
