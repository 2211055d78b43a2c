"""The devices of this machine that a strategy names."""

import tensorflow as tf

from deeplab_tf.config import StrategyName
from deeplab_tf.errors import DeeplabError


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
