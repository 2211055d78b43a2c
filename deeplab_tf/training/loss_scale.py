"""Additions to Keras' `LossScaleOptimizer` that loss scaling in float16 needs."""

from collections.abc import Callable

import keras
import tensorflow as tf

from deeplab_tf.distributed.strategy import sum_over_replicas

SMALLEST_SCALE = 1.0
"""The smallest useful loss scale: below 1, gradients overflow even without scaling."""


def agree_on_overflow(
    optimizer: keras.optimizers.LossScaleOptimizer, gradients: list[tf.Tensor]
) -> list[tf.Tensor]:
    """Returns a replica's `gradients`, made not finite where the gradients of any replica are not.

    `LossScaleOptimizer` checks only the first replica's gradients, before they are summed, and
    would apply gradients that overflowed on another replica.
    """
    finite = optimizer.check_finite(gradients)
    overflows = sum_over_replicas(
        tf.where(finite, 0.0, 1.0)  # pyright: ignore[reportArgumentType]
    )
    poison = tf.where(overflows > 0, float("nan"), 0.0)
    return [gradients[0] + poison, *gradients[1:]]


def counting_skipped(
    optimizer: keras.optimizers.LossScaleOptimizer,
    train_step: Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]],
) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """Returns a step like `train_step` that raises `iterations` by 1 even in a skipped step.

    Batches, schedule and checkpoints are counted by `iterations`. The losses also get `skipped`, 0
    or 1, and `loss_scale`, the scale after the step.
    """

    def step(image, mask):
        before = tf.identity(optimizer.iterations)
        losses = train_step(image, mask)
        skipped = before + 1 - tf.convert_to_tensor(optimizer.iterations)
        optimizer.iterations.assign(before + 1)
        return {
            **losses,
            "skipped": tf.cast(skipped, tf.float32),
            "loss_scale": tf.identity(optimizer.dynamic_scale),
        }

    return step
