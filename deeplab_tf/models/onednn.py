"""Whether TensorFlow computes by oneDNN, which has the native atrous convolutions of a CPU."""

from tensorflow.python.util import _pywrap_util_port


def onednn_in_use() -> bool:
    """TensorFlow's own answer for this process.

    TF_ENABLE_ONEDNN_OPTS decides. Where it is not set, oneDNN is on under Linux if the processor
    has instructions for neural networks (on x86 VNNI, BF16, AMX). TensorFlow for macOS has none.
    """
    return _pywrap_util_port.IsMklEnabled()
