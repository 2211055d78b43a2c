"""The optimiser and one training step, over any number of replicas."""

from collections.abc import Callable

import keras
import tensorflow as tf

from deeplab_tf.config import TrainConfig
from deeplab_tf.models.conv import decayed_kernels
from deeplab_tf.training.loss import cross_entropy_sum, weight_decay_loss


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
) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """A compiled function of one global batch that updates `model` and returns its losses.

    The function takes (image [B, H, W, 3], labels [B, H, W]), each dealt out over the replicas, and
    returns float32 scalars of the global batch: `loss`, what is minimised, and `cross_entropy`, its
    mean over valid pixels.
    """
    variables = model.trainable_variables
    kernels = decayed_kernels(model)
    replicas = strategy.num_replicas_in_sync

    def replica_step(image, labels):
        context = tf.distribute.get_replica_context()
        with tf.GradientTape() as tape:
            logits = model(image, training=True)
            local_sum, local_count = cross_entropy_sum(labels, logits)
            # Over the valid pixels of all replicas, so that n devices compute what one would.
            count = tf.maximum(context.all_reduce(tf.distribute.ReduceOp.SUM, local_count), 1.0)
            cross_entropy = local_sum / count
            decay = weight_decay_loss(kernels, weight_decay) / replicas
            loss = cross_entropy + decay
        gradients = tape.gradient(loss, variables)
        optimizer.apply(gradients, variables)  # sums the gradients over the replicas
        return {"loss": loss, "cross_entropy": cross_entropy}

    @tf.function
    def train_step(image, labels):
        losses = strategy.run(replica_step, args=(image, labels))
        return {
            name: strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)
            for name, value in losses.items()
        }

    return train_step
