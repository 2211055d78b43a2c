"""The network; importing this package registers its layers, so that Keras loads a `.keras` file."""

from deeplab_tf.models.conv import AtrousConv2D, AtrousDepthwiseConv2D, FusedBatchNormalization
from deeplab_tf.models.deeplab import build_backbone, build_model, with_output_stride

__all__ = [
    "AtrousConv2D",
    "AtrousDepthwiseConv2D",
    "FusedBatchNormalization",
    "build_backbone",
    "build_model",
    "with_output_stride",
]
