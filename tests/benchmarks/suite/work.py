"""The work of a benchmark, and how many operations it takes."""

import dataclasses

import keras
import numpy as np

from deeplab_tf.config import Backbone, Head, ModelConfig, Precision
from deeplab_tf.images.classes import VOID
from deeplab_tf.weights.torchvision import torchvision_config

CLASSES = 21


@dataclasses.dataclass(frozen=True)
class Work:
    """One forward pass, or one training step, of torchvision's DeepLabv3 with a ResNet.

    Ours is built by torchvision's conventions, so that both compute the same function.

    Attributes:
        training: a step with gradients, or inference.
        to_labels: whether inference ends at the labels; else at the logits.
        output_stride: 8, 16 or 32.
        size: side of the square images in pixels.
        batch: images.
        bfloat16: whether convolutions compute in bfloat16; else float32.
        backbone: ResNet-50 or -101.
        cascaded: whether the head is block5 to block7 with multi_grid (1, 2, 4), as in the paper's
            table 3; else ASPP.
    """

    training: bool = False
    to_labels: bool = False
    output_stride: int = 16
    size: int = 513
    batch: int = 1
    bfloat16: bool = False
    backbone: Backbone = Backbone.RESNET101
    cascaded: bool = False

    def __str__(self) -> str:
        return (
            f"{'training step' if self.training else 'inference'}"
            f"{' to labels' if self.to_labels else ''} "
            f"{self.batch}x{self.size}x{self.size}, {self.backbone}"
            f"{' mg124_block7' if self.cascaded else ''}, "
            f"output_stride {self.output_stride}, {'bfloat16' if self.bfloat16 else 'float32'}"
        )

    @property
    def precision(self) -> Precision:
        """Returns the precision of our training."""
        return Precision.MIXED_BFLOAT16 if self.bfloat16 else Precision.FLOAT32

    @property
    def model_config(self) -> ModelConfig:
        """Returns our network; the dropout is left out on both sides."""
        model_config = dataclasses.replace(
            torchvision_config(self.backbone, CLASSES),
            output_stride=self.output_stride,
            aspp_dropout=0.0,
        )
        if not self.cascaded:
            return model_config
        return dataclasses.replace(
            model_config, num_blocks=7, multi_grid=(1, 2, 4), head=Head.NONE, head_conv=False
        )

    def images(self) -> np.ndarray:
        """uint8 [batch, size, size, 3] of noise."""
        shape = (self.batch, self.size, self.size, 3)
        return np.random.default_rng(0).integers(0, 256, shape, np.uint8)

    def masks(self) -> np.ndarray:
        """uint8 [batch, size, size], some of them void."""
        shape = (self.batch, self.size, self.size)
        masks = np.random.default_rng(1).integers(0, CLASSES + 1, shape, np.uint8)
        return np.where(masks == CLASSES, VOID, masks).astype(np.uint8)

    def flops(self, model: keras.Model) -> float:
        """Operations of all convolutions of `model`, padding counted as if it were pixels.

        A training step counts three times: forward, and the gradients of input and kernel.
        """
        one = convolution_flops(model, self.size)
        return one * self.batch * (3 if self.training else 1)


def convolution_flops(model: keras.Model, size: int) -> float:
    """Returns the FLOPs of all convolutions for one image of `size` pixels a side."""
    shapes = _output_shapes(model, size)
    return sum(layer_flops(layer, shapes[layer.name]) for layer in model.layers)


def layer_flops(layer: keras.Layer, output_shape: tuple[int, ...]) -> float:
    """Returns the FLOPs of a convolution, also a depthwise one, for one image; else 0."""
    if not isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
        return 0.0
    _, height, width, _ = output_shape
    return 2.0 * height * width * float(np.prod(layer.kernel.shape))


def _output_shapes(model: keras.Model, size: int) -> dict[str, tuple[int, ...]]:
    names = [layer.name for layer in model.layers]
    probe = keras.Model(model.input, [layer.output for layer in model.layers])
    shapes = probe.compute_output_shape((1, size, size, model.input_shape[-1]))
    return dict(zip(names, shapes, strict=True))
