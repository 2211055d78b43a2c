"""The optimiser: SGD with momentum or AdamW, with a rate for each part of the network.

Both are Keras' own, but for three things. Each variable has a factor of the learning rate. The norm
that gradients are clipped to is that of the gradients summed over the devices; Keras clips the
share of each device. The weight decay of AdamW has the factors too; that of Keras' AdamW does not.
"""

import dataclasses

import keras
import tensorflow as tf

from deeplab_tf.config import OptimizerName, Precision, TrainConfig
from deeplab_tf.distributed.strategy import sum_over_replicas
from deeplab_tf.models.conv import decayed_kernels
from deeplab_tf.models.parts import rate_multipliers
from deeplab_tf.training.schedule import make_schedule

BETA_2 = 0.999
EPSILON = 1e-8
"""Constants of Adam (arXiv 1412.6980, section 2)."""
TOO_HIGH = 0.007
"""The paper's rate, for SGD. AdamW moves a weight by about the rate in a step, whatever the size of
its gradient."""


@dataclasses.dataclass(frozen=True)
class Rules:
    """How an optimiser treats each of its variables.

    Attributes:
        factors: a factor of the learning rate for each trainable variable, in order.
        decays: the decoupled weight decay of each trainable variable, in order; 0 for none.
        clip_norm: the largest norm of all gradients together; 0 for any.
    """

    factors: tuple[float, ...]
    decays: tuple[float, ...]
    clip_norm: float


class _Ruled(keras.optimizers.Optimizer):
    """What SGD and AdamW have in common here: the rules, and clipping after the sum."""

    rules: Rules

    def _all_reduce_sum_gradients(self, grads_and_vars):
        # Keras sums over the devices here, after it has clipped and has divided by the loss scale,
        # and before each variable's step.
        summed = _summed(grads_and_vars)
        if not self.rules.clip_norm:
            return summed
        gradients, variables = zip(*summed, strict=True)
        # A norm that is not finite makes all gradients NaN, so that the run ends with an error.
        clipped, _ = tf.clip_by_global_norm(gradients, self.rules.clip_norm)
        return list(zip(clipped, variables, strict=True))


def _summed(grads_and_vars):
    """Sums the gradients over the replicas.

    One vector holds all gradients, as in TensorFlow's own sum of a list, which measures each one's
    shape in the graph.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return grads_and_vars
    gradients, variables = zip(*grads_and_vars, strict=True)
    vector = sum_over_replicas(tf.concat([tf.reshape(each, [-1]) for each in gradients], 0))
    parts = tf.split(vector, [each.shape.num_elements() for each in gradients])
    shaped = [tf.reshape(p, each.shape) for p, each in zip(parts, gradients, strict=True)]
    return list(zip(shaped, variables, strict=True))


class PartSGD(_Ruled, keras.optimizers.SGD):
    """Keras' SGD with momentum, under `rules`."""

    def update_step(self, gradient, variable, learning_rate):
        """Moves one variable by its gradient, which is summed over the devices.

        One operation does what Keras does in seven: a graph with hundreds of variables is traced
        and optimised in less time, and a GPU launches fewer kernels.
        """
        index = self._get_variable_index(variable)
        factor = self.rules.factors[index]
        # In SGD, with or without momentum, a factor of the gradient acts as one of the rate.
        gradient = gradient if factor == 1 else gradient * factor
        rate = tf.cast(learning_rate, variable.dtype)
        if not self.momentum:
            tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=rate, delta=gradient)
            return
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=self.momentums[index].value.handle,
            lr=rate,
            grad=gradient,
            momentum=self.momentum,
        )


class PartAdamW(_Ruled, keras.optimizers.Adam):
    """Keras' Adam with decoupled weight decay (arXiv 1711.05101, algorithm 2), under `rules`.

    A step of the rate r, which is the schedule's times the variable's factor, takes `r * decay *
    weight` and Adam's step of that rate off a weight.
    """

    def update_step(self, gradient, variable, learning_rate):
        """Moves one variable by its gradient, which is summed over the devices."""
        index = self._get_variable_index(variable)
        factor, decay = self.rules.factors[index], self.rules.decays[index]
        rate = learning_rate if factor == 1 else learning_rate * factor
        if decay:
            variable.assign_sub(variable * (rate * decay))
        super().update_step(gradient, variable, rate)


def make_optimizer(train: TrainConfig, network: keras.Model) -> keras.optimizers.Optimizer:
    """Returns the optimiser of the trainable variables of `network`, with its state.

    `train.ema_momentum` adds an exponential moving average of the weights, and the precision
    `mixed_float16` adds loss scaling.
    """
    average = {}
    if train.ema_momentum is not None:
        average = {"use_ema": True, "ema_momentum": train.ema_momentum}
    schedule = make_schedule(train)
    if train.optimizer is OptimizerName.ADAMW:
        optimizer = PartAdamW(
            schedule,  # pyright: ignore[reportArgumentType]
            beta_1=train.momentum,
            beta_2=BETA_2,
            epsilon=EPSILON,
            **average,
        )
    else:
        optimizer = PartSGD(
            schedule,  # pyright: ignore[reportArgumentType]
            momentum=train.momentum,
            **average,
        )
    optimizer.rules = _rules(train, network)
    if train.precision is Precision.MIXED_FLOAT16:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(network.trainable_variables)
    return optimizer


def _rules(train: TrainConfig, network: keras.Model) -> Rules:
    factors = rate_multipliers(network, train.backbone_rate, train.head_rate, train.layer_decay)
    decayed = set()
    if train.optimizer is OptimizerName.ADAMW:
        decayed = {kernel.path for kernel in decayed_kernels(network)}
    return Rules(
        tuple(factors),
        tuple(
            train.weight_decay if variable.path in decayed else 0.0
            for variable in network.trainable_variables
        ),
        train.clip_norm,
    )


def rate_note(train: TrainConfig) -> list[str]:
    """Returns the lines on a learning rate and a weight decay that are SGD's, with AdamW."""
    notes = []
    if train.optimizer is not OptimizerName.ADAMW:
        return notes
    if train.base_learning_rate >= TOO_HIGH:
        notes.append(
            f"note: train.base_learning_rate={train.base_learning_rate:g} is a rate for SGD; AdamW "
            "moves each weight by about the rate in a step, and wants 1e-5 to 1e-3"
        )
    if train.weight_decay == TrainConfig.weight_decay:
        notes.append(
            f"note: train.weight_decay={train.weight_decay:g} is a decay for SGD; AdamW takes rate "
            "* weight_decay * w off a kernel in a step, so that it does next to nothing; 0.01 to "
            "0.05 is usual, and 0 is none"
        )
    return notes
