"""Copies of a model on several devices of one machine, of which each call takes a free one.

Tested in tests/evaluation/test_several_devices.py.
"""

import contextlib
import dataclasses
import queue
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import numpy as np
import tensorflow as tf

from deeplab_tf.images.scored import ScoreMap
from deeplab_tf.inference.predictor import Predictor

Copy = TypeVar("Copy")


class CopyOnEachDevice(Generic[Copy]):
    """What `load` returns on each of `devices`; one copy on TensorFlow's own choice without any.

    Attributes:
        copies: the copies, in the order of the devices.
    """

    def __init__(self, load: Callable[[], Copy], devices: list[str]):
        self.copies: list[Copy] = []
        self._free: queue.SimpleQueue[tuple[str | None, Copy]] = queue.SimpleQueue()
        for device in devices or [None]:
            with _placed_on(device):
                self.copies.append(load())
            self._free.put((device, self.copies[-1]))

    @contextlib.contextmanager
    def take(self) -> Iterator[Copy]:
        """Yields a copy that no other thread has, on its device; waits for one where none is free.

        As many threads as there are copies work at the same time.
        """
        device, copy = self._free.get()
        try:
            with _placed_on(device):
                yield copy
        finally:
            self._free.put((device, copy))


def _placed_on(device: str | None) -> contextlib.AbstractContextManager:
    return contextlib.nullcontext() if device is None else tf.device(device)


def on_devices(load: Callable[[], Predictor], devices: list[str]) -> Predictor:
    """Returns one predictor made of the predictors that `load` returns, one on each of `devices`.

    `predict` and `scores` may be called by as many threads as there are devices, and each call
    takes a free device. Without devices the result is the predictor of one call of `load`.
    """
    if not devices:
        return load()
    each = CopyOnEachDevice(load, devices)

    def predict(images: np.ndarray) -> np.ndarray:
        with each.take() as copy:
            return copy.predict(images)

    def scores(images: np.ndarray) -> ScoreMap:
        with each.take() as copy:
            return copy.scores(images)

    last = each.copies[-1]
    return dataclasses.replace(last, predict=predict, scores=scores, at_once=len(devices))
