"""The optimiser and one training step, over any number of replicas."""

from collections.abc import Callable

import keras
import tensorflow as tf

from deeplab_tf.config import Precision, TrainConfig
from deeplab_tf.models.conv import decayed_kernels
from deeplab_tf.models.dropout import dropout_key, masks_drawn_by
from deeplab_tf.models.parts import rate_multipliers
from deeplab_tf.training.accumulate import accumulated_step, sum_losses
from deeplab_tf.training.loss import DataLoss, mean_cross_entropy, weight_decay_loss
from deeplab_tf.training.loss_scale import agree_on_overflow, counting_skipped
from deeplab_tf.training.rematerialize import Rematerialized


def make_schedule(train: TrainConfig) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns the poly schedule of the learning rate (section 4.1).

    The rate of step s, counted from 0, is `base * (1 - s / steps) ^ power`; it is 0 at the end.
    """
    return keras.optimizers.schedules.PolynomialDecay(
        train.base_learning_rate,
        decay_steps=train.steps,
        end_learning_rate=0.0,
        power=train.power,
    )


def make_optimizer(train: TrainConfig) -> keras.optimizers.Optimizer:
    """Returns SGD with momentum on the poly schedule (section 4.1).

    `train.ema_momentum` adds an exponential moving average of the weights, and the precision
    `mixed_float16` adds loss scaling.
    """
    average = {}
    if train.ema_momentum is not None:
        average = {"use_ema": True, "ema_momentum": train.ema_momentum}
    optimizer = keras.optimizers.SGD(
        make_schedule(train),  # pyright: ignore[reportArgumentType]
        momentum=train.momentum,
        **average,
    )
    if train.precision is Precision.MIXED_FLOAT16:
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def make_train_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    strategy: tf.distribute.Strategy,
    train: TrainConfig,
    data_loss: DataLoss = mean_cross_entropy,
) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """Returns a compiled function of one global batch that updates `model` and returns the losses.

    The step reads `weight_decay`, `backbone_rate`, `head_rate`, `accumulate_steps`, `rematerialize`
    and `seed` (of dropout) of `train`; the optimizer and the loss have the rest.

    The returned function takes (image [B, H, W, bands], mask [B, H, W]), each dealt out over the
    replicas, and returns float32 scalars of the global batch: `loss`, the minimised loss with the
    weight decay; `cross_entropy`, the mean over valid pixels; where another loss than the cross
    entropy is minimised, that loss without the weight decay as `data_loss`; and, with a loss scale,
    the entries that `counting_skipped` adds.
    """
    variables = model.trainable_variables
    kernels = [kernel for kernel in decayed_kernels(model) if kernel.trainable]
    multipliers = rate_multipliers(model, train.backbone_rate, train.head_rate)
    replicas, parts = strategy.num_replicas_in_sync, train.accumulate_steps
    network = Rematerialized(model) if train.rematerialize else model
    scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)

    def gradients_of(image, mask, whole_mask=None, part=0):
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        numbers = (train.seed, optimizer.iterations, part, replica)
        with tf.GradientTape() as tape, masks_drawn_by(lambda: dropout_key(*numbers)):
            logits = network(image, training=True)
            shares = data_loss(mask, logits, whole_mask)
            decay = weight_decay_loss(kernels, train.weight_decay) / (replicas * parts)
            loss = shares.get("data_loss", shares["cross_entropy"]) + decay
            minimised = optimizer.scale_loss(loss)
        gradients = tape.gradient(minimised, variables)
        # In SGD, with or without momentum, a factor of the gradient acts as one of the rate.
        gradients = [
            gradient if factor == 1 else gradient * factor
            for gradient, factor in zip(gradients, multipliers, strict=True)
        ]
        return gradients, {"loss": loss, **shares}

    def apply(gradients):
        if scales and replicas > 1:
            gradients = agree_on_overflow(optimizer, gradients)
        optimizer.apply(gradients, variables)  # sums the gradients over the replicas

    def replica_step(image, mask):
        gradients, losses = gradients_of(image, mask)
        apply(gradients)
        return losses

    @tf.function
    def whole_step(image, mask):
        return sum_losses(strategy, strategy.run(replica_step, args=(image, mask)))

    train_step = (
        whole_step
        if parts == 1
        else accumulated_step(strategy, variables, gradients_of, apply, parts)
    )
    return counting_skipped(optimizer, train_step) if scales else train_step
