"""Squeeze and excitation (Hu et al., arXiv 1709.01507), as MobileNetV3 has it.

Tested in tests/models/test_mobilenet_v3.py.
"""

import keras

from deeplab_tf.models.conv import AtrousConv2D
from deeplab_tf.models.hard import HardSigmoid


def squeeze_excitation(x: keras.KerasTensor, channels: int, *, name: str) -> keras.KerasTensor:
    """Multiplies each channel of x [B, H, W, C] by a number in 0..1 that the whole map gives.

    The mean over the map goes through the 1x1 convolution `name_squeeze` to `channels`, ReLU, the
    1x1 convolution `name_excite` back to C and the hard sigmoid; both convolutions have a bias and
    no batch norm (arXiv 1905.02244, section 5.3).
    """
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(x)
    gate = _with_bias(channels, f"{name}_squeeze")(gate)
    gate = keras.layers.ReLU(name=f"{name}_squeeze_relu")(gate)
    gate = _with_bias(x.shape[-1], f"{name}_excite")(gate)
    gate = HardSigmoid(name=f"{name}_excite_hard_sigmoid")(gate)
    return keras.layers.Multiply(name=f"{name}_gated")([x, gate])


def _with_bias(filters: int, name: str) -> AtrousConv2D:
    return AtrousConv2D(filters, 1, kernel_initializer="he_normal", name=name)
