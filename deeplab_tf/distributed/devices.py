"""The devices of this machine that a strategy names.

Tested in tests/evaluation/test_several_devices.py.
"""

import tensorflow as tf

from deeplab_tf.config import StrategyName
from deeplab_tf.errors import DeeplabError


def devices_of(name: StrategyName, setting: str = "--strategy") -> list[str]:
    """Lists the names of the devices in this process that the strategy `name` takes.

    The devices are all GPUs, or with `mirrored`, where there is no GPU, all logical CPU devices.
    The list is empty where TensorFlow's own choice of one device will do.

    Raises:
        DeeplabError: `name` is `mirrored` and there is only one device, or `name` is `tpu`; the
            message begins with `setting`.
    """
    if name is StrategyName.TPU:
        raise DeeplabError(f"{setting}=tpu works only in a training; use auto, one or mirrored")
    gpus = tf.config.list_logical_devices("GPU")
    if name is StrategyName.ONE or (name is not StrategyName.MIRRORED and len(gpus) < 2):
        return []
    devices = [device.name for device in gpus or tf.config.list_logical_devices("CPU")]
    if len(devices) < 2:
        raise DeeplabError(
            f"{setting}=mirrored needs two devices or more. Found: {devices}. Use one or auto"
        )
    return devices
