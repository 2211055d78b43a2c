"""Losses of the regions of each class, not of single pixels: Dice and Lovász-Softmax."""

import tensorflow as tf

from deeplab_tf.distributed.strategy import sum_over_replicas
from deeplab_tf.images.classes import VOID


def dice_loss(
    labels: tf.Tensor, logits: tf.Tensor, batch_labels: tf.Tensor | None = None
) -> tf.Tensor:
    """1 - soft Dice, averaged over the classes that the global batch has; 0 where all is void.

    The Dice of a class is `2 sum(p t) / (sum(p) + sum(t))` over the valid pixels of the batch, with
    p its probability and t 1 where it is true (after Milletari et al., arXiv 1606.04797, who square
    the p and t below). A class that is not there has none: its false pixels are missing elsewhere.

    Args:
        labels: [B, H, W] integer, class ids or `VOID`.
        logits: [B, H, W, C] float32.
        batch_labels: must be None: the Dice of a batch is no sum over its parts.

    Returns:
        float32 scalar, this replica's share: the shares of all replicas add up to the loss.
    """
    if batch_labels is not None:
        raise ValueError("dice_loss needs the whole batch; batch_labels must be None")
    probabilities, truth = _valid_regions(labels, logits)
    # [3, C]; over all replicas before the division, so that n devices compute what one would.
    regions = (probabilities * truth, probabilities, truth)
    sums = tf.stack([tf.reduce_sum(region, axis=(0, 1)) for region in regions])
    both, predicted, true = tf.unstack(sum_over_replicas(sums))
    dice = 2 * both / tf.maximum(predicted + true, 1.0)
    replicas = tf.distribute.get_replica_context().num_replicas_in_sync
    return _mean(1 - dice, true > 0) / replicas


def lovasz_softmax_loss(
    labels: tf.Tensor, logits: tf.Tensor, batch_labels: tf.Tensor | None = None
) -> tf.Tensor:
    """Lovász-Softmax, the convex extension of 1 - Jaccard to probabilities, which are its errors
    (Berman et al., arXiv 1705.08790); 0 where all is void.

    Of each image by itself: the mean over the classes that it has, then over the images with a
    valid pixel in the global batch.

    Args, returns: as `dice_loss`; the images are those of `batch_labels`, where it is given.
    """
    probabilities, truth = _valid_regions(labels, logits)
    present = tf.reduce_sum(truth, axis=1)  # [B, C], pixels
    # Void is sorted last, behind every error, and then has none.
    valid = tf.reshape(tf.cast(labels, tf.int32) != VOID, (tf.shape(labels)[0], -1, 1))
    errors = tf.where(valid, tf.abs(truth - probabilities), -1.0)
    errors, order = tf.math.top_k(tf.transpose(errors, (0, 2, 1)), k=tf.shape(errors)[1])
    truth = tf.gather(tf.transpose(truth, (0, 2, 1)), order, batch_dims=2)
    slopes = tf.stop_gradient(_jaccard_steps(truth, present))
    losses = tf.reduce_sum(tf.nn.relu(errors) * slopes, axis=-1)  # [B, C]
    of_images = _mean(losses, present > 0)
    taught = tf.cast(labels if batch_labels is None else batch_labels, tf.int32) != VOID
    images = tf.reduce_sum(tf.cast(tf.reduce_any(taught, axis=(1, 2)), tf.float32))
    return tf.reduce_sum(of_images) / tf.maximum(sum_over_replicas(images), 1.0)


def _jaccard_steps(truth: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """By how much 1 - Jaccard rises when the i-th pixel is wrong too, with those before it.

    Args:
        truth: [B, C, P] float32, 1 where the pixel is of the class.
        present: [B, C] float32, the sum of `truth` over P.
    """
    wrong = tf.range(1, tf.shape(truth)[-1] + 1)
    missed = tf.cumsum(truth, axis=-1)  # whole numbers, exact in float32 up to 2^24 pixels
    present = tf.expand_dims(present, -1)
    union = present + tf.cast(wrong, tf.float32) - missed
    # A missed pixel leaves the union and takes 1 from the intersection; a false one makes the union
    # larger by 1. Written as steps, since a difference of two Jaccards would lose its digits.
    false_step = (present - missed) / tf.maximum(union * (union - 1), 1.0)
    return tf.where(truth > 0, 1 / tf.maximum(union, 1.0), false_step)


def _valid_regions(labels: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Class probabilities and the truth as 0 and 1, both [B, H * W, C] float32 and 0 at void."""
    classes = logits.shape[-1]
    shape = (tf.shape(logits)[0], -1, classes)
    labels = tf.cast(labels, tf.int32)
    truth = tf.one_hot(labels, classes)  # void lies outside the classes: all 0
    valid = tf.cast(labels != VOID, tf.float32)
    probabilities = tf.nn.softmax(logits) * tf.expand_dims(valid, -1)
    return tf.reshape(probabilities, shape), tf.reshape(truth, shape)


def _mean(values: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """The mean over the last axis of those that are `present`, 0 without one."""
    present = tf.cast(present, tf.float32)
    count = tf.maximum(tf.reduce_sum(present, axis=-1), 1.0)
    return tf.reduce_sum(values * present, axis=-1) / count
