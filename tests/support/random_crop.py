"""A random crop without any of the augmentations that the paper does not have."""

import tensorflow as tf

from deeplab_tf.config import DataConfig
from deeplab_tf.data.augment import crop_by
from deeplab_tf.data.geometry import sample_geometry


def random_crop(image, mask, seed, data: DataConfig, mean_pixel) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the crop of an image and a mask, by the geometry that `seed` draws."""
    geometry = sample_geometry(tf.shape(mask, out_type=tf.int64), seed, data)
    return crop_by(geometry, image, mask, data, mean_pixel)
