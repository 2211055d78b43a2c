"""The artefacts of JPEG: the crop is encoded with a quality at random, and decoded."""

import tensorflow as tf

from deeplab_tf.config import DataConfig
from deeplab_tf.config.augmentation import AUGMENTATIONS
from deeplab_tf.data.draws import PROBABILITY, Draw, uniform

BEST_QUALITY = int(AUGMENTATIONS["jpeg_quality"])
"""The highest quality that is drawn; beyond it a file is large and hardly differs."""


def jpeg_at_random(image: tf.Tensor, seed: tf.Tensor, data: DataConfig) -> tf.Tensor:
    """Compresses RGB float32 [H, W, 3], 0..255, with probability 1/2.

    The quality is uniform over the whole numbers from `data.jpeg_quality` to `BEST_QUALITY`.
    """
    happens, draw = uniform(Draw.JPEG, seed, 2)
    choices = BEST_QUALITY - data.jpeg_quality + 1
    quality = data.jpeg_quality + tf.cast(draw * choices, tf.int32)
    return tf.cond(happens < PROBABILITY, lambda: compress(image, quality), lambda: image)


def compress(image: tf.Tensor, quality: tf.Tensor) -> tf.Tensor:
    """Returns RGB float32 [H, W, 3] as a JPEG of `quality` (int32, 1 to 100) shows it.

    Pixels are rounded to 0..255 first; colours have half the resolution (4:2:0).
    """
    rounded = tf.cast(tf.round(image), tf.uint8)
    encoded = tf.raw_ops.EncodeJpegVariableQuality(images=rounded, quality=quality)
    decoded = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    return tf.ensure_shape(tf.cast(decoded, tf.float32), image.shape)
