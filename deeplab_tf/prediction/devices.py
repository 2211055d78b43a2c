"""A model on several devices of this machine, a copy on each."""

import dataclasses
import queue
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from deeplab_tf.config import StrategyName
from deeplab_tf.errors import DeeplabError
from deeplab_tf.prediction.predictor import Predictor


def devices_of(name: StrategyName, setting: str = "--strategy") -> list[str]:
    """This process' devices: all GPUs, or with `mirrored`, where there is no GPU, all logical CPU
    devices; none where TensorFlow's own choice of one will do.

    Raises:
        DeeplabError: `mirrored` and there is one device alone, or `tpu`; begins with the `setting`.
    """
    if name is StrategyName.TPU:
        raise DeeplabError(f"{setting}=tpu is of training alone; use auto, one or mirrored")
    gpus = tf.config.list_logical_devices("GPU")
    if name is StrategyName.ONE or (name is not StrategyName.MIRRORED and len(gpus) < 2):
        return []
    devices = [device.name for device in gpus or tf.config.list_logical_devices("CPU")]
    if len(devices) < 2:
        raise DeeplabError(
            f"{setting}=mirrored needs two devices or more. Found: {devices}. Use one or auto"
        )
    return devices


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
