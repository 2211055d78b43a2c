"""Atrous depthwise convolutions of stride 1 that run forward and backward on every device.

On a CPU only oneDNN has a forward kernel for TensorFlow's dilated depthwise convolution, and
TensorFlow's gradient of such a convolution is wrong without an error.

Tested in tests/models/test_mobilenet_v2.py, through `AtrousDepthwiseConv2D`.
"""

import tensorflow as tf

from deeplab_tf.models import kernels
from deeplab_tf.models.atrous import Rates, gradient_names, zeros_around


def convolve(x: tf.Tensor, kernel: tf.Tensor, rates: Rates, padding: str) -> tf.Tensor:
    """Convolves each channel with stride 1 and the atrous `rates`, in the fastest form here.

    Args:
        x: [B, H, W, C] of any float type.
        kernel: [k, k', C, M].
        rates: the atrous rates of rows and columns, each at least 1.
        padding: `SAME` or `VALID`, as in TensorFlow.

    Returns:
        [B, H', W', C * M].
    """
    if not kernels.on_cpu() or not kernels.runs_atrous_depthwise(x.dtype.name):
        return by_phases(x, kernel, rates, padding)

    @tf.custom_gradient
    def convolution(x, kernel):
        names = gradient_names()

        def gradient(dy):
            with names:
                with tf.GradientTape() as tape:
                    tape.watch([x, kernel])
                    y = by_phases(x, kernel, rates, padding)
                return tape.gradient(y, [x, kernel], output_gradients=dy)

        return native(x, kernel, rates, padding), gradient

    return convolution(x, kernel)  # pyright: ignore[reportReturnType]


def native(x: tf.Tensor, kernel: tf.Tensor, rates: Rates, padding: str) -> tf.Tensor:
    """Convolves each channel in one operation, which oneDNN and other runtimes have."""
    return tf.raw_ops.DepthwiseConv2dNative(
        input=x, filter=kernel, strides=[1, 1, 1, 1], padding=padding, dilations=[1, *rates, 1]
    )


def by_phases(x: tf.Tensor, kernel: tf.Tensor, rates: Rates, padding: str) -> tf.Tensor:
    """Convolves each channel phase by phase, by operations that every device has, with gradients.

    A *phase* is the pixels that lie a rate apart. On one phase the atrous convolution is a
    convolution without a rate.
    """
    (above, below), (left, right) = zeros_around(kernel.shape, rates, padding)
    size = tf.shape(x)
    height, width = size[1] + above + below, size[2] + left + right
    rows, columns = -(-height // rates[0]), -(-width // rates[1])
    below, right = below + rows * rates[0] - height, right + columns * rates[1] - width
    x = tf.pad(x, [(0, 0), (above, below), (left, right), (0, 0)])  # pyright: ignore[reportArgumentType]
    x = tf.reshape(x, (size[0], rows, rates[0], columns, rates[1], x.shape[3]))
    x = tf.reshape(tf.transpose(x, (0, 2, 4, 1, 3, 5)), (-1, rows, columns, x.shape[5]))
    y = tf.nn.depthwise_conv2d(x, kernel, (1, 1, 1, 1), "VALID")
    channels = kernel.shape[2] * kernel.shape[3]
    rows, columns = rows - kernel.shape[0] + 1, columns - kernel.shape[1] + 1
    y = tf.reshape(y, (size[0], *rates, rows, columns, channels))
    y = tf.transpose(y, (0, 3, 1, 4, 2, 5))
    y = tf.reshape(y, (size[0], rows * rates[0], columns * rates[1], channels))
    reach = (kernel.shape[0] - 1) * rates[0], (kernel.shape[1] - 1) * rates[1]
    return y[:, : height - reach[0], : width - reach[1]]
