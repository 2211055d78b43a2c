"""Losses over the regions of each class, not over single pixels: Dice and Lovász-Softmax."""

import tensorflow as tf

from deeplab_tf.distributed.strategy import sum_over_replicas
from deeplab_tf.images.classes import VOID
from deeplab_tf.training.loss_term import LossTerm, once_a_replica


def _soft_dice(mask: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns 1 - soft Dice, the mean over the classes of the global batch; 0 where all is void.

    The Dice of a class is `2 sum(p t) / (sum(p) + sum(t))` over the valid pixels of the batch. Here
    p is the predicted probability of the class, and t is 1 at pixels of the class and 0 elsewhere
    (after Milletari et al., arXiv 1606.04797, who square p and t in the denominator). A class
    without a pixel in the batch has no Dice: pixels falsely given to the class lower the Dice of
    their true classes.
    """
    probabilities, truth = _valid_regions(mask, logits)
    # The sums, [3, C], are over all replicas before the division, so n devices compute what one
    # device would.
    regions = (probabilities * truth, probabilities, truth)
    sums = tf.stack([tf.reduce_sum(region, axis=(0, 1)) for region in regions])
    both, predicted, true = tf.unstack(sum_over_replicas(sums))
    dice = 2 * both / tf.maximum(predicted + true, 1.0)
    return _mean(1 - dice, true > 0)


dice_loss = once_a_replica(_soft_dice)
"""1 - soft Dice, the mean over the classes of the global batch; needs the whole batch at once."""


def _lovasz_sum(mask: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns the sum over the images of the Lovász-Softmax loss (Berman et al., arXiv 1705.08790).

    The loss is the convex extension of 1 - Jaccard from right and wrong pixels to the errors of the
    class probabilities. Each image has a loss of its own, the mean over the classes that the image
    has.
    """
    probabilities, truth = _valid_regions(mask, logits)
    present = tf.reduce_sum(truth, axis=1)  # [B, C], pixels
    # A void pixel gets -1 as its error: sorted behind all errors, and made 0 by the relu below.
    valid = tf.reshape(mask != VOID, (tf.shape(mask)[0], -1, 1))
    errors = tf.where(valid, tf.abs(truth - probabilities), -1.0)
    errors, order = tf.math.top_k(tf.transpose(errors, (0, 2, 1)), k=tf.shape(errors)[1])
    truth = tf.gather(tf.transpose(truth, (0, 2, 1)), order, batch_dims=2)
    slopes = tf.stop_gradient(_jaccard_steps(truth, present))
    losses = tf.reduce_sum(tf.nn.relu(errors) * slopes, axis=-1)  # [B, C]
    return tf.reduce_sum(_mean(losses, present > 0))


def _images_with_a_class(mask: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(tf.reduce_any(mask != VOID, axis=(1, 2)), tf.float32))


lovasz_softmax_loss = LossTerm(_lovasz_sum, _images_with_a_class)
"""The mean Lovász-Softmax loss over the images with a valid pixel; 0 where all is void."""


def _jaccard_steps(truth: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """Returns how much 1 - Jaccard rises when a pixel is wrong besides all pixels before it.

    Args:
        truth: [B, C, P] float32, 1 where the pixel is of the class.
        present: [B, C] float32, the sum of `truth` over P.

    Returns:
        float32 [B, C, P].
    """
    wrong = tf.range(1, tf.shape(truth)[-1] + 1)
    missed = tf.cumsum(truth, axis=-1)  # whole numbers, exact in float32 up to 2^24 pixels
    present = tf.expand_dims(present, -1)
    union = present + tf.cast(wrong, tf.float32) - missed
    # A missed pixel takes 1 from the intersection and leaves the union as it is; a false pixel adds
    # 1 to the union. The steps are written out, since a difference of two Jaccards loses digits.
    false_step = (present - missed) / tf.maximum(union * (union - 1), 1.0)
    return tf.where(truth > 0, 1 / tf.maximum(union, 1.0), false_step)


def _valid_regions(mask: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns class probabilities and one-hot truth, both [B, H * W, C] float32 and 0 at void."""
    classes = logits.shape[-1]
    shape = (tf.shape(logits)[0], -1, classes)
    truth = tf.one_hot(mask, classes)  # void lies outside the classes, so all are 0
    valid = tf.cast(mask != VOID, tf.float32)
    probabilities = tf.nn.softmax(logits) * tf.expand_dims(valid, -1)
    return tf.reshape(probabilities, shape), tf.reshape(truth, shape)


def _mean(values: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """Returns the mean over the last axis of the values that are `present`; 0 where none is."""
    present = tf.cast(present, tf.float32)
    count = tf.maximum(tf.reduce_sum(present, axis=-1), 1.0)
    return tf.reduce_sum(values * present, axis=-1) / count
