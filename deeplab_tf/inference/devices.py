"""A model on several devices of one machine, a copy on each.

Tested in tests/evaluation/test_several_devices.py.
"""

import dataclasses
import queue
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from deeplab_tf.inference.predictor import Predictor


def on_devices(load: Callable[[], Predictor], devices: list[str]) -> Predictor:
    """Returns one predictor made of the predictors that `load` returns, one on each of `devices`.

    `predict` may be called by as many threads as there are devices, and each call takes a free
    device. Without devices the result is the predictor of one call of `load`.
    """
    if not devices:
        return load()
    free: queue.SimpleQueue[tuple[str, Predictor]] = queue.SimpleQueue()
    for device in devices:
        with tf.device(device):
            predictor = load()
        free.put((device, predictor))

    def predict(images: np.ndarray) -> np.ndarray:
        device, copy = free.get()
        try:
            with tf.device(device):
                return copy.predict(images)
        finally:
            free.put((device, copy))

    return dataclasses.replace(predictor, predict=predict, at_once=len(devices))
