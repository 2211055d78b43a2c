"""Whole pixels of one image or another.

The older of TensorFlow's two selections copies pixel by pixel. The newer one, `tf.where`, spreads
the condition over the bands first, which takes several times as long.
"""

import tensorflow as tf


def select(condition: tf.Tensor, image: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Returns `image` where `condition` is true, otherwise `other`.

    Args:
        condition: bool [H, W].
        image: float32 [H, W, bands].
        other: float32 [H, W, bands], or [bands], which is one pixel for all places.
    """
    bands = image.shape[-1]
    pixels = tf.reshape(image, [-1, bands])
    chosen = tf.raw_ops.Select(
        condition=tf.reshape(condition, [-1]),
        x=pixels,
        y=tf.reshape(tf.broadcast_to(other, tf.shape(image)), [-1, bands]),
    )
    return tf.reshape(chosen, tf.shape(image))
