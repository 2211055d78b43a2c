"""Losses over the regions of each class, not over single pixels: Dice and Lovász-Softmax."""

import tensorflow as tf

from deeplab_tf.distributed.strategy import sum_over_replicas
from deeplab_tf.images.classes import VOID


def dice_loss(
    labels: tf.Tensor, logits: tf.Tensor, batch_labels: tf.Tensor | None = None
) -> tf.Tensor:
    """Returns 1 - soft Dice, the mean over the classes of the global batch; 0 where all is void.

    The Dice of a class is `2 sum(p t) / (sum(p) + sum(t))` over the valid pixels of the batch. Here
    p is the predicted probability of the class, and t is 1 at pixels of the class and 0 elsewhere
    (after Milletari et al., arXiv 1606.04797, who square p and t in the denominator). A class
    without a pixel in the batch has no Dice: pixels falsely given to the class lower the Dice of
    their true classes.

    Args:
        labels: the ground truth, integer [B, H, W], class ids or `VOID`.
        logits: float32 [B, H, W, C].
        batch_labels: must be None: the Dice of a batch is no sum over parts of the batch.

    Returns:
        This replica's share, a float32 scalar; the shares of all replicas add up to the loss.

    Raises:
        ValueError: `batch_labels` is given.
    """
    if batch_labels is not None:
        raise ValueError("dice_loss needs the whole batch; batch_labels must be None")
    probabilities, truth = _valid_regions(labels, logits)
    # The sums, [3, C], are over all replicas before the division, so n devices compute what one
    # device would.
    regions = (probabilities * truth, probabilities, truth)
    sums = tf.stack([tf.reduce_sum(region, axis=(0, 1)) for region in regions])
    both, predicted, true = tf.unstack(sum_over_replicas(sums))
    dice = 2 * both / tf.maximum(predicted + true, 1.0)
    replicas = tf.distribute.get_replica_context().num_replicas_in_sync
    return _mean(1 - dice, true > 0) / replicas


def lovasz_softmax_loss(
    labels: tf.Tensor, logits: tf.Tensor, batch_labels: tf.Tensor | None = None
) -> tf.Tensor:
    """Returns the Lovász-Softmax loss (Berman et al., arXiv 1705.08790); 0 where all is void.

    The loss is the convex extension of 1 - Jaccard from right and wrong pixels to the errors of the
    class probabilities. Each image has a loss of its own, the mean over the classes that the image
    has; the result is the mean over the images with a valid pixel in the global batch.

    Args:
        labels: the ground truth, integer [B, H, W], class ids or `VOID`.
        logits: float32 [B, H, W, C].
        batch_labels: [N, H, W], the ground truth of the replica's whole share of the batch, where
            `labels` are a part of that share; the mean is then over the images of `batch_labels`.
            None: `labels`.

    Returns:
        This replica's share, a float32 scalar; the shares of all replicas add up to the loss.
    """
    probabilities, truth = _valid_regions(labels, logits)
    present = tf.reduce_sum(truth, axis=1)  # [B, C], pixels
    # A void pixel gets -1 as its error: sorted behind all errors, and made 0 by the relu below.
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


def _valid_regions(labels: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns class probabilities and one-hot truth, both [B, H * W, C] float32 and 0 at void."""
    classes = logits.shape[-1]
    shape = (tf.shape(logits)[0], -1, classes)
    labels = tf.cast(labels, tf.int32)
    truth = tf.one_hot(labels, classes)  # void lies outside the classes, so all are 0
    valid = tf.cast(labels != VOID, tf.float32)
    probabilities = tf.nn.softmax(logits) * tf.expand_dims(valid, -1)
    return tf.reshape(probabilities, shape), tf.reshape(truth, shape)


def _mean(values: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """Returns the mean over the last axis of the values that are `present`; 0 where none is."""
    present = tf.cast(present, tf.float32)
    count = tf.maximum(tf.reduce_sum(present, axis=-1), 1.0)
    return tf.reduce_sum(values * present, axis=-1) / count
