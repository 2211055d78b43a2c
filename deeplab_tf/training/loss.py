"""What a training minimises: the loss over valid pixels that its config names, and weight decay."""

from collections.abc import Sequence
from typing import Protocol

import keras
import tensorflow as tf

from deeplab_tf.config import Loss, TrainConfig
from deeplab_tf.distributed.strategy import sum_over_replicas
from deeplab_tf.images.classes import VOID
from deeplab_tf.training.pixel_losses import pixel_loss
from deeplab_tf.training.region_losses import dice_loss, lovasz_softmax_loss


class DataLoss(Protocol):
    """What is minimised beside the weight decay, with the cross entropy.

    Called with labels [B, H, W] and logits [B, H, W, C] of one replica's part of the global batch,
    it gives its shares, which add up over the replicas, of `cross_entropy`, the mean over valid
    pixels, and, where another loss than that is minimised, of this one as `data_loss`. Where the
    replica's part goes through the network in parts in turn, `batch_labels` has all its labels:
    the means are over these, and the shares add up over the parts too.
    """

    def __call__(
        self, labels: tf.Tensor, logits: tf.Tensor, batch_labels: tf.Tensor | None = None, /
    ) -> dict[str, tf.Tensor]: ...


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


def mean_cross_entropy(
    labels: tf.Tensor, logits: tf.Tensor, batch_labels: tf.Tensor | None = None
) -> dict[str, tf.Tensor]:
    """The paper's `DataLoss`: cross entropy, in nats, and nothing else."""
    local_sum, local_count = cross_entropy_sum(labels, logits)
    if batch_labels is not None:
        local_count = tf.reduce_sum(tf.cast(tf.cast(batch_labels, tf.int32) != VOID, tf.float32))
    # Over the valid pixels of all replicas, so that n devices compute what one would.
    count = tf.maximum(sum_over_replicas(local_count), 1.0)
    return {"cross_entropy": local_sum / count}


def make_data_loss(config: TrainConfig, class_weights: Sequence[float] | None = None) -> DataLoss:
    """The `DataLoss` of `config`.

    Args:
        config: names the loss and its options.
        class_weights: [C], what `config.class_weights` stands for; None for 1 each.
    """
    gamma = config.focal_gamma if config.loss is Loss.FOCAL else 0.0
    of_regions = {Loss.DICE: dice_loss, Loss.LOVASZ: lovasz_softmax_loss}.get(config.loss)
    if class_weights is None and gamma == 0 and config.ohem_share == 1 and of_regions is None:
        return mean_cross_entropy

    def data_loss(
        labels: tf.Tensor, logits: tf.Tensor, batch_labels: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        minimised = pixel_loss(
            labels,
            logits,
            batch_labels,
            class_weights=class_weights,
            focal_gamma=gamma,
            ohem_share=config.ohem_share,
        )
        if of_regions is not None:
            minimised += of_regions(labels, logits, batch_labels)
        return {"data_loss": minimised, **mean_cross_entropy(labels, logits, batch_labels)}

    return data_loss


def weight_decay_loss(kernels: list[keras.Variable], weight_decay: float) -> tf.Tensor:
    """`weight_decay / 2 * |w|^2` summed over `kernels`, as TF-Slim's ResNet has it (section 4.1).

    Keras' `L2(l)` is `l * |w|^2`, twice that, and `SGD(weight_decay=...)` is decoupled from the
    momentum: neither is the paper's.
    """
    return weight_decay * tf.add_n([tf.nn.l2_loss(tf.convert_to_tensor(k)) for k in kernels])
