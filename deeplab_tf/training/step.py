"""The optimiser and one training step, over any number of replicas."""

from collections.abc import Callable

import keras
import tensorflow as tf

from deeplab_tf.config import TrainConfig
from deeplab_tf.models.conv import decayed_kernels
from deeplab_tf.models.parts import rate_multipliers
from deeplab_tf.training.loss import DataLoss, mean_cross_entropy, weight_decay_loss


def make_schedule(config: TrainConfig) -> keras.optimizers.schedules.LearningRateSchedule:
    """Poly: the rate of step s, counted from 0, is `base * (1 - s / steps) ^ power`; 0 at the end
    (section 4.1)."""
    return keras.optimizers.schedules.PolynomialDecay(
        config.base_learning_rate,
        decay_steps=config.steps,
        end_learning_rate=0.0,
        power=config.power,
    )


def make_optimizer(config: TrainConfig) -> keras.optimizers.SGD:
    """SGD with momentum on the poly schedule (section 4.1)."""
    return keras.optimizers.SGD(
        make_schedule(config),  # pyright: ignore[reportArgumentType]
        momentum=config.momentum,
    )


def make_train_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    strategy: tf.distribute.Strategy,
    weight_decay: float,
    data_loss: DataLoss = mean_cross_entropy,
    rates: tuple[float, float] = (1.0, 1.0),
) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """A compiled function of one global batch that updates `model` and returns its losses.

    `rates` are the factors of the learning rate for the backbone and the head.

    The function takes (image [B, H, W, 3], labels [B, H, W]), each dealt out over the replicas, and
    returns float32 scalars of the global batch: `loss`, what is minimised, and what `data_loss`
    has: `cross_entropy`, the mean over valid pixels, and, where another loss is minimised, that as
    `data_loss`, without the weight decay.
    """
    variables = model.trainable_variables
    kernels = [kernel for kernel in decayed_kernels(model) if kernel.trainable]
    multipliers = rate_multipliers(model, *rates)
    replicas = strategy.num_replicas_in_sync

    def replica_step(image, labels):
        with tf.GradientTape() as tape:
            logits = model(image, training=True)
            shares = data_loss(labels, logits)
            decay = weight_decay_loss(kernels, weight_decay) / replicas
            loss = shares.get("data_loss", shares["cross_entropy"]) + decay
        gradients = tape.gradient(loss, variables)
        # For SGD, with or without momentum, a factor of the gradient is one of the rate.
        gradients = [
            gradient if factor == 1 else gradient * factor
            for gradient, factor in zip(gradients, multipliers, strict=True)
        ]
        optimizer.apply(gradients, variables)  # sums the gradients over the replicas
        return {"loss": loss, **shares}

    @tf.function
    def train_step(image, labels):
        losses = strategy.run(replica_step, args=(image, labels))
        return {
            name: strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)
            for name, value in losses.items()
        }

    return train_step
