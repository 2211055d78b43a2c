"""One training step, over any number of replicas."""

from collections.abc import Callable

import keras
import tensorflow as tf

from deeplab_tf.config import OptimizerName, TrainConfig
from deeplab_tf.models.auxiliary import auxiliary_input
from deeplab_tf.models.conv import decayed_kernels
from deeplab_tf.models.dropout import dropout_key, masks_drawn_by
from deeplab_tf.training.accumulate import accumulated_step, sum_losses
from deeplab_tf.training.loss import (
    DataLoss,
    mean_cross_entropy,
    minimised_share,
    weight_decay_loss,
)
from deeplab_tf.training.loss_scale import agree_on_overflow, counting_skipped
from deeplab_tf.training.rematerialize import Rematerialized


def make_train_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    strategy: tf.distribute.Strategy,
    train: TrainConfig,
    data_loss: DataLoss = mean_cross_entropy,
) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """Returns a compiled function of one global batch that updates `model` and returns the losses.

    The step reads `weight_decay` (of SGD), `auxiliary_loss`, `accumulate_steps`, `rematerialize`
    and `seed` (of dropout) of `train`; the optimizer and the loss have the rest.

    The returned function takes (image [B, H, W, bands], mask [B, H, W]), each dealt out over the
    replicas, and returns float32 scalars of the global batch: `loss`, what is minimised, with the
    weight decay of SGD; `cross_entropy`, the mean over valid pixels; where another loss than the
    cross entropy is minimised, that loss alone as `data_loss`; where `model` has the auxiliary
    head, the same loss of the head's logits, without its weight, as `auxiliary_loss`; and, with a
    loss scale, the entries that `counting_skipped` adds.
    """
    variables = model.trainable_variables
    kernels = [kernel for kernel in decayed_kernels(model) if kernel.trainable]
    decays = train.optimizer is OptimizerName.SGD  # AdamW decays the weights themselves
    replicas, parts = strategy.num_replicas_in_sync, train.accumulate_steps
    network = Rematerialized(model) if train.rematerialize else model
    has_auxiliary = auxiliary_input(model) is not None
    scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)

    def gradients_of(image, mask, whole_mask=None, part=0):
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        numbers = (train.seed, optimizer.iterations, part, replica)
        with tf.GradientTape() as tape, masks_drawn_by(lambda: dropout_key(*numbers)):
            logits = network(image, training=True)
            if has_auxiliary:
                logits, auxiliary_logits = logits
            shares = data_loss(mask, logits, whole_mask)
            loss = minimised_share(shares)
            if has_auxiliary:
                of_auxiliary = data_loss(mask, auxiliary_logits, whole_mask)
                shares["auxiliary_loss"] = minimised_share(of_auxiliary)
                loss += train.auxiliary_loss * shares["auxiliary_loss"]
            if decays:
                loss += weight_decay_loss(kernels, train.weight_decay) / (replicas * parts)
            minimised = optimizer.scale_loss(loss)
        return tape.gradient(minimised, variables), {"loss": loss, **shares}

    def apply(gradients):
        if scales and replicas > 1:
            gradients = agree_on_overflow(optimizer, gradients)
        optimizer.apply(gradients, variables)  # sums the gradients over the replicas

    def replica_step(image, mask):
        gradients, losses = gradients_of(image, mask)
        apply(gradients)
        return losses

    @tf.function(autograph=False)
    def whole_step(image, mask):
        return sum_losses(strategy, strategy.run(replica_step, args=(image, mask)))

    train_step = (
        whole_step
        if parts == 1
        else accumulated_step(strategy, variables, gradients_of, apply, parts)
    )
    return counting_skipped(optimizer, train_step) if scales else train_step
