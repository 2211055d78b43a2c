"""What loss scaling in float16 needs beside Keras' `LossScaleOptimizer`."""

from collections.abc import Callable

import keras
import tensorflow as tf

from deeplab_tf.distributed.strategy import sum_over_replicas

SMALLEST_SCALE = 1.0
"""Scaling only ever multiplies: below, the gradients overflow by themselves."""


def agree_on_overflow(
    optimizer: keras.optimizers.LossScaleOptimizer, gradients: list[tf.Tensor]
) -> list[tf.Tensor]:
    """A replica's gradients, not finite where those of any replica are not.

    `LossScaleOptimizer` looks at the first replica's alone, before they are summed, and would apply
    what overflowed on another.
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
    """`train_step`, after which `iterations` is one more also where the step was skipped.

    Batches, schedule and checkpoints go by that number. The losses get `skipped`, 0 or 1, and
    `loss_scale`, after the step.
    """

    def step(image, labels):
        before = tf.identity(optimizer.iterations)
        losses = train_step(image, labels)
        skipped = before + 1 - tf.convert_to_tensor(optimizer.iterations)
        optimizer.iterations.assign(before + 1)
        return {
            **losses,
            "skipped": tf.cast(skipped, tf.float32),
            "loss_scale": tf.identity(optimizer.dynamic_scale),
        }

    return step
