"""A model on several devices of this machine, a copy on each."""

import dataclasses
import queue
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from deeplab_tf.inference.predictor import Predictor


def on_devices(load: Callable[[], Predictor], devices: list[str]) -> Predictor:
    """What `load` gives, once on each of `devices`, as one predictor.

    Its `predict` may be called from as many threads as there are devices; each call takes a device
    that is free.
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
