"""The blocks that the networks are made of: convolution, batch norm, activation; class scores."""

from typing import Literal

import keras

from deeplab_tf.config import ModelConfig
from deeplab_tf.models.conv import AtrousConv2D, AtrousDepthwiseConv2D, FusedBatchNormalization
from deeplab_tf.models.hard import HardSwish

Activation = Literal["relu", "relu6", "hard_swish"]
"""`relu6` is at most 6; for `hard_swish` see `HardSwish`."""


class ConvBN:
    """The block of a convolution without bias, a batch norm and an activation, for one network.

    The layers are `name`, `name_bn` and `name_relu` or `name_hard_swish`. A strided convolution
    pads symmetrically, with k // 2 zeros on each side, so that sample i of the output lies on
    sample i * stride of the input for odd and even sizes alike. Without this padding the network
    would see different grids at two output strides.

    All methods map x [B, H, W, C] to [B, ceil(H / stride), ceil(W / stride), filters], by a kernel
    of the odd side `kernel_size`; the atrous rate is 1 where the stride is above 1.

    Args:
        model_config: the source of the batch norm's momentum and epsilon.
        epsilon: the batch norm's epsilon; None takes the config's.
        activation: the activation behind each batch norm but that of `linear`.
    """

    def __init__(
        self,
        model_config: ModelConfig,
        *,
        epsilon: float | None = None,
        activation: Activation = "relu",
    ):
        self._momentum = model_config.batch_norm_momentum
        self._epsilon = epsilon or model_config.batch_norm_epsilon
        self._activation = activation

    def __call__(
        self,
        x: keras.KerasTensor,
        filters: int,
        kernel_size: int,
        *,
        name: str,
        stride: int = 1,
        rate: int = 1,
    ) -> keras.KerasTensor:
        """Applies the convolution, the batch norm and the activation."""
        x = _convolution(x, filters, kernel_size, name, stride, rate)
        return self._activated(self._normalised(x, name), name)

    def linear(
        self,
        x: keras.KerasTensor,
        filters: int,
        *,
        name: str,
        stride: int = 1,
        zero_init: bool = False,
    ) -> keras.KerasTensor:
        """Applies a 1x1 convolution and the batch norm; with `zero_init` gamma begins at 0."""
        x = _convolution(x, filters, 1, name, stride, rate=1)
        return self._normalised(x, name, "zeros" if zero_init else "ones")

    def depthwise(
        self, x: keras.KerasTensor, kernel_size: int, *, name: str, stride: int = 1, rate: int = 1
    ) -> keras.KerasTensor:
        """Applies a kernel of its own to each channel, the batch norm and the activation."""
        x, padding = _padded(x, kernel_size, name, stride)
        x = AtrousDepthwiseConv2D(
            kernel_size,
            strides=stride,
            padding=padding,
            dilation_rate=rate,
            use_bias=False,
            # Keras' he_normal counts all channels as the inputs of a depthwise kernel, so He's
            # formula is written out.
            depthwise_initializer=keras.initializers.RandomNormal(  # pyright: ignore[reportArgumentType]
                stddev=(2 / kernel_size**2) ** 0.5
            ),
            name=name,
        )(x)
        return self._activated(self._normalised(x, name), name)

    def separable(
        self, x: keras.KerasTensor, filters: int, kernel_size: int, *, name: str, rate: int = 1
    ) -> keras.KerasTensor:
        """Applies `name_depthwise` with the rate and the 1x1 `name_pointwise`, each as a block."""
        x = self.depthwise(x, kernel_size, name=f"{name}_depthwise", rate=rate)
        return self(x, filters, 1, name=f"{name}_pointwise")

    def _normalised(
        self, x: keras.KerasTensor, name: str, gamma_initializer: str = "ones"
    ) -> keras.KerasTensor:
        return FusedBatchNormalization(
            momentum=self._momentum,
            epsilon=self._epsilon,
            gamma_initializer=gamma_initializer,
            name=f"{name}_bn",
        )(x)

    def _activated(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        if self._activation == "hard_swish":
            return HardSwish(name=f"{name}_hard_swish")(x)
        most = 6.0 if self._activation == "relu6" else None
        return keras.layers.ReLU(most, name=f"{name}_relu")(x)


def _convolution(
    x: keras.KerasTensor, filters: int, kernel_size: int, name: str, stride: int, rate: int
) -> keras.KerasTensor:
    x, padding = _padded(x, kernel_size, name, stride)
    return AtrousConv2D(
        filters,
        kernel_size,
        strides=stride,
        padding=padding,
        dilation_rate=rate,
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def _padded(
    x: keras.KerasTensor, kernel_size: int, name: str, stride: int
) -> tuple[keras.KerasTensor, str]:
    """Returns the input of a convolution, and the padding that the convolution itself adds."""
    if stride == 1 or kernel_size == 1:
        return x, "same"
    return keras.layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x), "valid"


def class_scores(
    x: keras.KerasTensor,
    model_config: ModelConfig,
    *,
    name: str,
    kernel_size: int = 1,
    rate: int = 1,
) -> keras.KerasTensor:
    """Applies the convolution with bias that turns [B, h, w, C] into [B, h, w, num_classes]."""
    return AtrousConv2D(
        model_config.num_classes,
        kernel_size,
        padding="same",
        dilation_rate=rate,
        # Small weights let training begin at a loss of log(num_classes).
        kernel_initializer=keras.initializers.TruncatedNormal(  # pyright: ignore[reportArgumentType]
            stddev=0.01
        ),
        # A bfloat16 has 8 bits, too few to interpolate scores and to tell close classes apart.
        dtype="float32",
        name=name,
    )(x)
