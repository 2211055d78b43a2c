"""The training loss: cross entropy over valid pixels, and the paper's weight decay."""

import keras
import tensorflow as tf

from deeplab_tf.data.labels import VOID


def cross_entropy_sum(labels: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Sum of the softmax cross entropy over valid pixels, and how many there are.

    A sum and a count, not a mean: replicas with unequal void then add up to the global mean.

    Args:
        labels: [B, H, W] integer, class ids or `VOID`.
        logits: [B, H, W, C] float32.

    Returns:
        Two float32 scalars: the sum in nats, and the number of pixels that are not void.
    """
    labels = tf.cast(labels, tf.int32)
    valid = tf.cast(labels != VOID, tf.float32)
    # Void gets class 0 and weight 0: the operation refuses labels outside the classes.
    safe = tf.where(labels == VOID, 0, labels)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=safe, logits=logits)
    return tf.reduce_sum(losses * valid), tf.reduce_sum(valid)


def weight_decay_loss(kernels: list[keras.Variable], weight_decay: float) -> tf.Tensor:
    """`weight_decay / 2 * |w|^2` summed over `kernels`, as TF-Slim's ResNet has it (section 4.1).

    Keras' `L2(l)` is `l * |w|^2`, twice that, and `SGD(weight_decay=...)` is decoupled from the
    momentum: neither is the paper's.
    """
    return weight_decay * tf.add_n([tf.nn.l2_loss(tf.convert_to_tensor(k)) for k in kernels])
