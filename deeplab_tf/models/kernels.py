"""The kernels that TensorFlow has on this machine, by which a convolution's form is chosen.

Tested in tests/models/test_onednn.py and tests/models/test_atrous.py.
"""

import enum
import functools

import tensorflow as tf
from tensorflow.python.util import _pywrap_util_port

from deeplab_tf.machine.processor import is_x86, onednn_has_avx512

_NO_ACCELERATORS = {"CPU", "XLA_CPU", "XLA_GPU"}
"""Types of devices that are no accelerators. XLA_CPU and XLA_GPU are XLA's views of the same
machine, and TensorFlow places nothing on them by itself."""


def on_cpu() -> bool:
    """Returns whether operations that are made now run on a CPU.

    The answer is yes where there is no accelerator, or where the enclosing `tf.device` names the
    CPU.
    """
    found = {device.device_type for device in tf.config.list_logical_devices()}
    if found <= _NO_ACCELERATORS:
        return True
    return ":CPU:" in tf.zeros(()).device.upper()


def onednn_in_use() -> bool:
    """Returns whether TensorFlow computes by oneDNN in this process, as TensorFlow reports it.

    TF_ENABLE_ONEDNN_OPTS decides. Where the variable is not set, oneDNN is on under Linux if the
    processor has instructions for neural networks (on x86 VNNI, BF16, AMX). TensorFlow for macOS
    has no oneDNN.
    """
    return _pywrap_util_port.IsMklEnabled()


class OneDNN(enum.Enum):
    """The kernels that TensorFlow convolves with on this CPU."""

    OFF = "Eigen's kernels: oneDNN is off, or does not compute in the type"
    AVX2 = "oneDNN's, which take plain weights by one unblocked product an image"
    AVX512 = "oneDNN's, which take plain weights at full speed, and leave out padding by themselves"
    OTHER = "oneDNN's on a processor that is not x86, for which nothing was measured"


@functools.cache
def convolves(dtype: str) -> bool:
    """Returns whether TensorFlow's own convolutions of `dtype` can be trained on this CPU.

    Convolutions in bfloat16 cannot be trained where the processor has instructions for bfloat16
    that ONEDNN_MAX_CPU_ISA forbids: TensorFlow leaves the work to oneDNN, which then has no kernel.
    """
    return _runs(lambda: _kernel_gradient(dtype, rate=1))


@functools.cache
def onednn(dtype: str) -> OneDNN:
    """Returns which kernels convolutions of `dtype` have on this CPU.

    oneDNN is recognised by the gradient of a dilated convolution, which Eigen's kernels lack.
    """
    if not _runs(lambda: _kernel_gradient(dtype, rate=2)):
        return OneDNN.OFF
    if not is_x86():
        return OneDNN.OTHER
    return OneDNN.AVX512 if onednn_has_avx512() else OneDNN.AVX2


def fuses_batch_norm_badly(dtype: str) -> bool:
    """Returns whether a batch norm that TensorFlow fuses into a convolution costs time here."""
    return dtype == "float32" and on_cpu() and onednn(dtype) is OneDNN.AVX2


@functools.cache
def runs_atrous_depthwise(dtype: str) -> bool:
    """Returns whether TensorFlow has a dilated depthwise convolution on the CPU, from oneDNN."""
    return _runs(
        lambda: tf.raw_ops.DepthwiseConv2dNative(
            input=tf.ones((1, 5, 5, 1), dtype),
            filter=tf.ones((3, 3, 1, 1), dtype),
            strides=(1, 1, 1, 1),
            padding="SAME",
            dilations=(1, 2, 2, 1),
        )
    )


def _kernel_gradient(dtype: str, rate: int) -> tf.Tensor:
    return tf.raw_ops.Conv2DBackpropFilter(
        input=tf.ones((1, 5, 5, 1), dtype),
        filter_sizes=(3, 3, 1, 1),
        out_backprop=tf.ones((1, 5, 5, 1), dtype),
        strides=(1, 1, 1, 1),
        padding="SAME",
        dilations=(1, rate, rate, 1),
    )


def _runs(operation) -> bool:
    with tf.init_scope(), tf.device("CPU:0"):
        try:
            operation()
        except (
            tf.errors.InvalidArgumentError,
            tf.errors.UnimplementedError,
            tf.errors.AbortedError,  # oneDNN aborts if ONEDNN_MAX_CPU_ISA forbids what dtype needs
        ):
            return False
    return True
