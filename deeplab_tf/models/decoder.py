"""DeepLabv3+'s decoder (arXiv 1802.02611, section 3.1 and figure 2)."""

import keras

from deeplab_tf.config import ModelConfig
from deeplab_tf.models.conv_bn import ConvBN
from deeplab_tf.models.resize import Upsample

STRIDE = 4
"""The stride of the decoder's map."""


def decoder(
    x: keras.KerasTensor, low: keras.KerasTensor, model_config: ModelConfig, filters: int
) -> keras.KerasTensor:
    """Maps the ASPP's result [B, h, w, C] to [B, H, W, filters] of the size of `low`.

    The result of the ASPP is upsampled to the grid of `low`, the backbone's last map of stride 4
    [B, H, W, D]. Behind it come the `decoder_channels` that the 1x1 block `decoder_project` makes
    of `low`, and the convolutions `decoder_conv1`, `decoder_conv2`, ... mix both.
    """
    conv_bn = ConvBN(model_config)
    ratio = model_config.output_stride // STRIDE
    x = Upsample(ratio, str(model_config.upsampling), name="decoder_upsample")([x, low])
    if model_config.decoder_channels:
        low = conv_bn(low, model_config.decoder_channels, 1, name="decoder_project")
        x = keras.layers.Concatenate(name="decoder_concat")([x, low])
    for number, side in enumerate(model_config.decoder_kernels, start=1):
        separable = model_config.separable and side > 1
        apply = conv_bn.separable if separable else conv_bn
        x = apply(x, filters, side, name=f"decoder_conv{number}")
    return x
