"""Which kernels TensorFlow has on this machine: what the form of a convolution goes by."""

import enum
import functools

import tensorflow as tf

from deeplab_tf.processor import onednn_has_avx512


def on_cpu() -> bool:
    """Whether what is built here is going to run on a CPU: there is no accelerator, or a
    `tf.device` around names the CPU."""
    if len(tf.config.list_logical_devices()) == len(tf.config.list_logical_devices("CPU")):
        return True
    return ":CPU:" in tf.zeros(()).device.upper()


class OneDNN(enum.Enum):
    """What TensorFlow computes with on this CPU."""

    OFF = "Eigen's kernels: oneDNN is off, or does not compute in the type"
    AVX2 = "oneDNN's, which take plain weights by one unblocked product an image"
    AVX512 = "oneDNN's, which take plain weights at full speed, and leave out padding by themselves"


@functools.cache
def onednn(dtype: str) -> OneDNN:
    """Which kernels convolutions of `dtype` have. Only oneDNN's differentiate a dilated one."""
    differentiates = _runs(
        lambda: tf.raw_ops.Conv2DBackpropFilter(
            input=tf.ones((1, 5, 5, 1), dtype),
            filter_sizes=(3, 3, 1, 1),
            out_backprop=tf.ones((1, 5, 5, 1), dtype),
            strides=(1, 1, 1, 1),
            padding="SAME",
            dilations=(1, 2, 2, 1),
        )
    )
    if not differentiates:
        return OneDNN.OFF
    return OneDNN.AVX512 if onednn_has_avx512() else OneDNN.AVX2


@functools.cache
def runs_atrous_depthwise(dtype: str) -> bool:
    """Whether TensorFlow runs a dilated depthwise convolution natively on the CPU: oneDNN's does."""
    return _runs(
        lambda: tf.raw_ops.DepthwiseConv2dNative(
            input=tf.ones((1, 5, 5, 1), dtype),
            filter=tf.ones((3, 3, 1, 1), dtype),
            strides=(1, 1, 1, 1),
            padding="SAME",
            dilations=(1, 2, 2, 1),
        )
    )


def _runs(operation) -> bool:
    with tf.init_scope(), tf.device("CPU:0"):
        try:
            operation()
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
            return False
    return True
