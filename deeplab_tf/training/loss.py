"""The loss that a training minimises: a loss over valid pixels and the weight decay."""

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
    """A loss of the data, minimised together with the weight decay.

    A data loss takes labels [B, H, W] and logits [B, H, W, C] of one replica's part of the global
    batch. It returns this replica's shares, which add up over the replicas: `cross_entropy`, the
    mean over valid pixels, and, where another loss is minimised, that loss as `data_loss`. Where
    the replica's part goes through the network in parts in turn, `batch_labels` has all labels of
    the replica: the means are then over `batch_labels`, and the shares add up over the parts too.
    """

    def __call__(
        self, labels: tf.Tensor, logits: tf.Tensor, batch_labels: tf.Tensor | None = None, /
    ) -> dict[str, tf.Tensor]: ...


def cross_entropy_sum(labels: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the sum of the softmax cross entropy over valid pixels, and their number.

    A sum and a count add up over replicas with unequal void to the global mean; means would not.

    Args:
        labels: the ground truth, integer [B, H, W], class ids or `VOID`.
        logits: float32 [B, H, W, C].

    Returns:
        Two float32 scalars: the sum in nats, and the number of pixels that are not void.
    """
    labels = tf.cast(labels, tf.int32)
    valid = tf.cast(labels != VOID, tf.float32)
    # The operation refuses labels outside the classes, so void gets class 0 with weight 0.
    safe = tf.where(labels == VOID, 0, labels)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=safe, logits=logits)
    return tf.reduce_sum(losses * valid), tf.reduce_sum(valid)


def mean_cross_entropy(
    labels: tf.Tensor, logits: tf.Tensor, batch_labels: tf.Tensor | None = None
) -> dict[str, tf.Tensor]:
    """Returns only `cross_entropy`, in nats: the paper's loss as a `DataLoss`."""
    local_sum, local_count = cross_entropy_sum(labels, logits)
    if batch_labels is not None:
        local_count = tf.reduce_sum(tf.cast(tf.cast(batch_labels, tf.int32) != VOID, tf.float32))
    # The count is over all replicas, so n devices compute what one device would.
    count = tf.maximum(sum_over_replicas(local_count), 1.0)
    return {"cross_entropy": local_sum / count}


def make_data_loss(config: TrainConfig, class_weights: Sequence[float] | None = None) -> DataLoss:
    """Returns the `DataLoss` that `config` names.

    Args:
        config: the loss and its options.
        class_weights: [C], the numbers that `config.class_weights` stands for; None for 1 each.
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
    """Returns `weight_decay / 2 * |w|^2` summed over `kernels`, as TF-Slim's ResNet (section 4.1).

    Keras' `L2(l)` is `l * |w|^2`, twice that, and `SGD(weight_decay=...)` is decoupled from the
    momentum, so neither is the paper's weight decay.
    """
    return weight_decay * tf.add_n([tf.nn.l2_loss(tf.convert_to_tensor(k)) for k in kernels])
