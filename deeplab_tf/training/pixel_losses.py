"""Losses that are a mean over pixels: cross entropy and focal loss.

Pixels may have class weights, and only the hardest pixels may count.
"""

from collections.abc import Sequence

import tensorflow as tf

from deeplab_tf.distributed.strategy import sum_over_replicas
from deeplab_tf.images.classes import VOID
from deeplab_tf.training.loss_term import LossTerm

TINY = 1e-30
"""A lower bound for divisors: far below any sum of weights or 1 - p that float32 tells from 0."""


def pixel_loss(
    *,
    class_weights: Sequence[float] | None = None,
    focal_gamma: float = 0.0,
    ohem_share: float = 1.0,
    label_smoothing: float = 0.0,
) -> LossTerm:
    """Returns the mean over valid pixels of weight times focal loss; 0 where all is void.

    Args:
        class_weights: [C], the weight of a pixel by its true class; None for 1 each. The mean is
            over the sum of weights, as in torch's `CrossEntropyLoss(weight)`.
        focal_gamma: the gamma of `focal`; 0 is cross entropy.
        ohem_share: in (0, 1]. Below 1 only this share of the pixels with a weight counts: the
            pixels with the highest weight times loss over all replicas, and all ties with the last.
            Such a loss needs the whole batch at once.
        label_smoothing: in [0, 1); the share of the truth of a valid pixel that is spread evenly
            over all classes. 0 with a `focal_gamma`.
    """

    def weights_of(mask: tf.Tensor) -> tf.Tensor:
        if class_weights is None:
            return tf.cast(mask != VOID, tf.float32)
        # The table has a weight for each label, 0 for void.
        table = [*class_weights, *[0.0] * (VOID + 1 - len(class_weights))]
        return tf.gather(tf.constant(table, tf.float32), mask)

    def losses_of(mask: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        # The operation refuses labels outside the classes, so void gets class 0 with weight 0.
        safe = tf.where(mask == VOID, 0, mask)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=safe, logits=logits)
        if label_smoothing:
            losses += label_smoothing * _lead(safe, logits)
        return focal(losses, focal_gamma) if focal_gamma else losses

    def total(mask: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(losses_of(mask, logits) * weights_of(mask))

    def hard_share(mask: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        weights, losses = weights_of(mask), losses_of(mask, logits)
        hard = hardest(tf.stop_gradient(weights * losses), weights > 0, ohem_share)
        weights = tf.where(hard, weights, 0.0)
        # Which pixels count depends on the logits, and so does the weight of their mean.
        weight = tf.maximum(sum_over_replicas(tf.reduce_sum(weights)), TINY)
        return tf.reduce_sum(weights * losses) / weight

    if ohem_share < 1:
        return LossTerm(hard_share, weight=None, by_parts=False)
    return LossTerm(total, lambda mask: tf.reduce_sum(weights_of(mask)), least=TINY)


CROSS_ENTROPY = pixel_loss()
"""The mean softmax cross entropy over valid pixels, in nats: the paper's loss."""


def _lead(mask: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns how far the logit of each pixel's class is above the mean logit, [B, H, W].

    Cross entropy with the truth spread by a share e is the plain one plus e times this number: each
    class's own cross entropy is the same logarithm less the class's logit.
    """
    own = tf.gather(logits, mask, batch_dims=3)
    return own - tf.reduce_mean(logits, axis=-1)


def focal(cross_entropy: tf.Tensor, gamma: float) -> tf.Tensor:
    """Returns `-(1 - p) ** gamma * ln(p)` of `cross_entropy = -ln(p)`, same shape (Lin et al.)."""
    # expm1 keeps the digits of a small 1 - p. At exactly 0 a power below 1 has no gradient, so TINY
    # bounds 1 - p from below.
    missing = tf.maximum(-tf.math.expm1(-cross_entropy), TINY)
    return missing**gamma * cross_entropy


def hardest(losses: tf.Tensor, valid: tf.Tensor, share: float) -> tf.Tensor:
    """Returns where `valid` is true and the loss is among the highest `share` of all valid losses.

    The losses of all replicas are compared. The k-th highest loss, k = ceil(share * number of valid
    losses), is found exactly: the bits of a float that is not negative, read as an integer, rise
    with the float, so the 31 bits are settled one by one, each by a count over all replicas.
    Nothing is sorted or gathered.

    Args:
        losses: float32 of any shape, not negative where `valid`.
        valid: bool of the shape of `losses`.
        share: in (0, 1].

    Returns:
        bool of the shape of `losses`, true for the k-th highest loss and all that are as high or
        higher; losses equal to the k-th may make these more than k.
    """
    # -0.0 has the sign bit, which abs removes.
    bits = tf.where(valid, tf.bitcast(tf.abs(losses), tf.int32), -1)

    def count(chosen: tf.Tensor) -> tf.Tensor:
        return sum_over_replicas(tf.reduce_sum(tf.cast(chosen, tf.float32)))

    wanted = tf.math.ceil(share * count(valid))
    threshold = tf.zeros((), tf.int32)
    for bit in reversed(range(31)):
        higher = threshold + (1 << bit)
        threshold = tf.where(count(bits >= higher) >= wanted, higher, threshold)
    return bits >= threshold
