"""The whole image shrunk into the crop, as a prediction with a network of that size shows it."""

import tensorflow as tf

from deeplab_tf.data.geometry import Geometry
from deeplab_tf.images.resampling import shrink


def shrunk(geometry: Geometry, image: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns an example at `geometry.size`, which is not larger than the example.

    Args:
        geometry: the geometry that `sample_geometry` draws with `Fit.LETTERBOX`.
        image: uint8, uint16 or float32 [H, W, bands].
        mask: uint8 [H, W].

    Returns:
        The image, shrunk by `images.resampling.shrink` as for a prediction, in its own dtype; and
        the mask, whose pixels are those of the source that hold the centres of the shrunk pixels.
    """
    source = tf.shape(mask, out_type=tf.int64)

    def smaller() -> tuple[tf.Tensor, tf.Tensor]:
        rows, columns = (
            (2 * tf.range(geometry.size[i]) + 1) * source[i] // (2 * geometry.size[i])
            for i in (0, 1)
        )
        picked = tf.gather(tf.gather(mask, rows), columns, axis=1)
        return shrink(image[None], (geometry.size[0], geometry.size[1]))[0], picked

    # An image that fits keeps its bits, and costs nothing.
    return tf.cond(tf.reduce_all(geometry.size == source), lambda: (image, mask), smaller)
