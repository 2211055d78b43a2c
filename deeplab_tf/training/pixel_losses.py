"""Losses that are a mean over pixels: cross entropy and focal, by class weight, of the hardest."""

from collections.abc import Sequence

import tensorflow as tf

from deeplab_tf.distributed.strategy import sum_over_replicas
from deeplab_tf.images.classes import VOID

TINY = 1e-30
"""Far below any sum of weights or 1 - p that float32 tells from 0."""


def pixel_loss(
    labels: tf.Tensor,
    logits: tf.Tensor,
    batch_labels: tf.Tensor | None = None,
    *,
    class_weights: Sequence[float] | None = None,
    focal_gamma: float = 0.0,
    ohem_share: float = 1.0,
) -> tf.Tensor:
    """Mean over valid pixels of weight times focal loss; 0 where all is void.

    Args:
        labels: [B, H, W] integer, class ids or `VOID`.
        logits: [B, H, W, C] float32.
        batch_labels: [N, H, W], those whose weights the mean is over, where `labels` are a part of
            them; not with `ohem_share` below 1. None: `labels`.
        class_weights: [C], the weight of a pixel by its true class, None for 1 each. The mean is
            over the sum of weights, as that of torch's `CrossEntropyLoss(weight)`.
        focal_gamma: see `focal`; 0 is cross entropy.
        ohem_share: in (0, 1]; below 1 only this share of the pixels with a weight counts, those
            with the highest weight times loss, over all replicas; with them those of the same loss.

    Returns:
        float32 scalar, this replica's share: the shares of all replicas add up to the loss.
    """
    labels = tf.cast(labels, tf.int32)
    # A table by label, with weight 0 for void.
    of_classes = [1.0] * logits.shape[-1] if class_weights is None else list(class_weights)
    table = tf.constant(of_classes + [0.0] * (VOID + 1 - len(of_classes)), tf.float32)
    weights = tf.gather(table, labels)
    # Void gets class 0 and weight 0: the operation refuses labels outside the classes.
    safe = tf.where(labels == VOID, 0, labels)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=safe, logits=logits)
    if focal_gamma:
        losses = focal(losses, focal_gamma)
    if ohem_share < 1:
        hard = hardest(tf.stop_gradient(weights * losses), weights > 0, ohem_share)
        weights = tf.where(hard, weights, 0.0)
    if batch_labels is None:
        total = tf.reduce_sum(weights)
    else:
        total = tf.reduce_sum(tf.gather(table, tf.cast(batch_labels, tf.int32)))
    total = sum_over_replicas(total)
    return tf.reduce_sum(weights * losses) / tf.maximum(total, TINY)


def focal(cross_entropy: tf.Tensor, gamma: float) -> tf.Tensor:
    """`-(1 - p) ** gamma * ln(p)` of `cross_entropy = -ln(p)`, of the same shape (Lin et al.)."""
    # expm1 keeps the digits of a small 1 - p; at exactly 0 a power below 1 has no gradient.
    missing = tf.maximum(-tf.math.expm1(-cross_entropy), TINY)
    return missing**gamma * cross_entropy


def hardest(losses: tf.Tensor, valid: tf.Tensor, share: float) -> tf.Tensor:
    """Where `valid` and the loss is among the highest `share` of all replicas' valid losses.

    The k-th highest loss, k = ceil(share * valid), is found exactly: the bits of a float that is
    not negative, read as an integer, rise with it, so its 31 bits are settled one by one, each by
    counting over all replicas. Nothing is sorted or gathered.

    Args:
        losses: float32 of any shape, not negative where `valid`.
        valid: bool of that shape.
        share: in (0, 1].

    Returns:
        bool of that shape: those with the k-th highest loss or more, so that equal ones go
        together and may be more than k.
    """
    # abs: -0.0 has the sign bit.
    bits = tf.where(valid, tf.bitcast(tf.abs(losses), tf.int32), -1)

    def count(chosen: tf.Tensor) -> tf.Tensor:
        return sum_over_replicas(tf.reduce_sum(tf.cast(chosen, tf.float32)))

    wanted = tf.math.ceil(share * count(valid))
    threshold = tf.zeros((), tf.int32)
    for bit in reversed(range(31)):
        higher = threshold + (1 << bit)
        threshold = tf.where(count(bits >= higher) >= wanted, higher, threshold)
    return bits >= threshold
