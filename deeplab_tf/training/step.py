"""The optimiser and one training step, over any number of replicas."""

from collections.abc import Callable

import keras
import tensorflow as tf

from deeplab_tf.config import Precision, TrainConfig
from deeplab_tf.models.conv import decayed_kernels
from deeplab_tf.models.parts import rate_multipliers
from deeplab_tf.training.accumulate import accumulated_step, sum_losses
from deeplab_tf.training.loss import DataLoss, mean_cross_entropy, weight_decay_loss
from deeplab_tf.training.loss_scale import agree_on_overflow, counting_skipped
from deeplab_tf.training.rematerialize import Rematerialized


def make_schedule(config: TrainConfig) -> keras.optimizers.schedules.LearningRateSchedule:
    """Poly: the rate of step s, counted from 0, is `base * (1 - s / steps) ^ power`; 0 at the end
    (section 4.1)."""
    return keras.optimizers.schedules.PolynomialDecay(
        config.base_learning_rate,
        decay_steps=config.steps,
        end_learning_rate=0.0,
        power=config.power,
    )


def make_optimizer(config: TrainConfig) -> keras.optimizers.Optimizer:
    """SGD with momentum on the poly schedule (section 4.1), with what `config` adds to it."""
    average = {}
    if config.ema_momentum is not None:
        average = {"use_ema": True, "ema_momentum": config.ema_momentum}
    optimizer = keras.optimizers.SGD(
        make_schedule(config),  # pyright: ignore[reportArgumentType]
        momentum=config.momentum,
        **average,
    )
    if config.precision is Precision.MIXED_FLOAT16:
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def make_train_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    strategy: tf.distribute.Strategy,
    weight_decay: float,
    data_loss: DataLoss = mean_cross_entropy,
    rates: tuple[float, float] = (1.0, 1.0),
    *,
    accumulate_steps: int = 1,
    rematerialize: bool = False,
) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """A compiled function of one global batch that updates `model` and returns its losses.

    `rates` are the factors of the learning rate for the backbone and the head; the rest is as in
    `TrainConfig`.

    The function takes (image [B, H, W, 3], labels [B, H, W]), each dealt out over the replicas, and
    returns float32 scalars of the global batch: `loss`, what is minimised, and what `data_loss`
    has: `cross_entropy`, the mean over valid pixels, and, where another loss is minimised, that as
    `data_loss`, without the weight decay; with a loss scale what `counting_skipped` adds.
    """
    variables = model.trainable_variables
    kernels = [kernel for kernel in decayed_kernels(model) if kernel.trainable]
    multipliers = rate_multipliers(model, *rates)
    replicas = strategy.num_replicas_in_sync
    network = Rematerialized(model) if rematerialize else model
    scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)

    def gradients_of(image, labels, *batch_labels):
        with tf.GradientTape() as tape:
            logits = network(image, training=True)
            shares = data_loss(labels, logits, *batch_labels)
            decay = weight_decay_loss(kernels, weight_decay) / (replicas * accumulate_steps)
            loss = shares.get("data_loss", shares["cross_entropy"]) + decay
            minimised = optimizer.scale_loss(loss)
        gradients = tape.gradient(minimised, variables)
        # For SGD, with or without momentum, a factor of the gradient is one of the rate.
        gradients = [
            gradient if factor == 1 else gradient * factor
            for gradient, factor in zip(gradients, multipliers, strict=True)
        ]
        return gradients, {"loss": loss, **shares}

    def apply(gradients):
        if scales and replicas > 1:
            gradients = agree_on_overflow(optimizer, gradients)
        optimizer.apply(gradients, variables)  # sums the gradients over the replicas

    def replica_step(image, labels):
        gradients, losses = gradients_of(image, labels)
        apply(gradients)
        return losses

    @tf.function
    def whole_step(image, labels):
        return sum_losses(strategy, strategy.run(replica_step, args=(image, labels)))

    train_step = (
        whole_step
        if accumulate_steps == 1
        else accumulated_step(strategy, variables, gradients_of, apply, accumulate_steps)
    )
    return counting_skipped(optimizer, train_step) if scales else train_step
