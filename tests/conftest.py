"""Two virtual CPU devices for the whole suite, so that replicas can be tested on any machine."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest
import tensorflow as tf

CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(CPU, [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture(autouse=True)
def _seeded():
    """Every test begins at the same seed and leaves no Keras names behind."""
    keras.utils.set_random_seed(0)
    yield
    keras.backend.clear_session()
