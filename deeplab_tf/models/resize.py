"""Bilinear upsampling of a map onto a finer one, or of the logits onto the image."""

import keras
from keras import ops

from deeplab_tf.config import Upsampling

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
else:
    tf = None

OLDER_NAME = "output_stride"
"""The name of `Upsample.ratio` in files, from when only logits were upsampled."""


def resize_bilinear(x, size, *, align_corners: bool):
    """Resizes a map [B, h, w, C] to [B, *size, C] float32.

    With `align_corners` the corner samples of both grids coincide. Without `align_corners` pixel
    centres lie at half-integers and the border is repeated.
    """
    if tf is not None:
        return tf.raw_ops.ResizeBilinear(
            images=x, size=size, align_corners=align_corners, half_pixel_centers=not align_corners
        )
    rows = interpolation_matrix(x.shape[1], size[0], align_corners)
    columns = interpolation_matrix(x.shape[2], size[1], align_corners)
    return ops.einsum("bhwc,oh,pw->bopc", ops.cast(x, "float32"), rows, columns)


def interpolation_matrix(source: int, target: int, align_corners: bool):
    """Returns [target, source] float32; row i holds the two linear weights of output sample i."""
    index = ops.arange(target, dtype="float32")
    if align_corners:
        position = index * ((source - 1) / max(target - 1, 1))
    else:
        position = ops.clip((index + 0.5) * (source / target) - 0.5, 0, source - 1)
    distance = ops.abs(position[:, None] - ops.arange(source, dtype="float32")[None, :])
    return ops.relu(1.0 - distance)


# Files were written before maps other than logits were upsampled.
@keras.saving.register_keras_serializable("deeplab_tf", name="UpsampleLogits")
class Upsample(keras.layers.Layer):
    """The layer that upsamples a map onto the grid of a second, finer one.

    Logits are upsampled to the size of the image, in training too (section 4.1). `ratio` is the
    number of pixels, or of samples of the second map, from one sample of the map to the next.

    With `align_corners` the map's sample i lies exactly on pixel i * ratio. For an image of
    k * ratio + 1 pixels this is the usual align_corners resizing. For any other size the last
    sample does not reach the last pixel. Stretching the map would move every class border by up to
    ratio - 1 pixels, so the map's last row and column are repeated once instead, and the part
    beyond the image is cut off.
    """

    def __init__(self, ratio: int, upsampling: str, **kwargs):
        super().__init__(**kwargs)
        self.ratio = ratio
        self.upsampling = Upsampling(upsampling)

    def call(self, inputs):
        """Maps [B, h, w, C] and [B, H, W, D] to [B, H, W, C] in the layer's compute dtype."""
        if self.ratio == 1:
            return ops.cast(inputs[0], self.compute_dtype)
        return ops.cast(self._upsampled(*inputs), self.compute_dtype)

    def _upsampled(self, logits, image):
        shape = ops.shape(image)
        height, width = shape[1], shape[2]
        if self.upsampling is Upsampling.HALF_PIXEL:
            return resize_bilinear(logits, (height, width), align_corners=False)
        if self._fits(image.shape[1]) and self._fits(image.shape[2]):
            return resize_bilinear(logits, (height, width), align_corners=True)
        logits = ops.concatenate([logits, logits[:, -1:]], axis=1)
        logits = ops.concatenate([logits, logits[:, :, -1:]], axis=2)
        grid = ops.shape(logits)
        size = ((grid[1] - 1) * self.ratio + 1, (grid[2] - 1) * self.ratio + 1)
        return resize_bilinear(logits, size, align_corners=True)[:, :height, :width]

    def _fits(self, size: int | None) -> bool:
        return size is not None and size % self.ratio == 1 % self.ratio

    def compute_output_shape(self, input_shape):
        """Returns the shape of the second input with the channels of the first."""
        logits, image = input_shape
        return (*image[:3], logits[-1])

    def get_config(self):
        """Returns the arguments of `__init__`, with `ratio` under its older name."""
        return {
            **super().get_config(),
            OLDER_NAME: self.ratio,
            "upsampling": str(self.upsampling),
        }

    @classmethod
    def from_config(cls, config):
        """Makes the layer that `get_config` described."""
        config = dict(config)
        return super().from_config({"ratio": config.pop(OLDER_NAME), **config})
