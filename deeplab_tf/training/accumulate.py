"""One optimiser step on a batch that goes through the network in parts, one after another."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from deeplab_tf.config import TrainConfig
from deeplab_tf.config.gaps import known
from deeplab_tf.errors import DeeplabError


def check_parts(train: TrainConfig, strategy: tf.distribute.Strategy) -> None:
    """Raises `DeeplabError` where the batch cannot be cut into equal parts.

    Each device has `accumulate_steps` parts.
    """
    devices, steps = strategy.num_replicas_in_sync, train.accumulate_steps
    if known(train.batch_size) % (devices * steps):
        raise DeeplabError(
            f"train.batch_size must be a multiple of {devices * steps}: {devices} device(s) times "
            f"train.accumulate_steps={steps}. Received: {train.batch_size}"
        )


def accumulated_step(
    strategy: tf.distribute.Strategy,
    variables: Sequence[keras.Variable],
    gradients_of: Callable,
    apply: Callable[[list[tf.Tensor]], None],
    steps: int,
) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """Returns a step of one global batch in `steps` equal parts, whose gradients are summed.

    Keras' `gradient_accumulation_steps` is not used: Keras counts parts as steps of the schedule
    and of the moving average, and does not accumulate on several replicas.

    Args:
        strategy: the devices; each device splits its own share of the batch.
        variables: the variables that `gradients_of` differentiates by.
        gradients_of: a function of (image, mask, whole_mask, index of the part), called in a
            replica, that returns (gradients, losses), shares that add up over parts and replicas.
        apply: a function, called in a replica, of the gradients of the replica's whole share.
        steps: the number of parts.

    Returns:
        A function of (image, mask) that returns the losses of the batch. The sums of gradients
        are zero between its calls, so a checkpoint needs none of the sums.
    """
    with strategy.scope():
        # Each replica adds up its own gradients; the optimiser sums over replicas, once a step.
        sums = [
            tf.Variable(
                tf.zeros(variable.shape, variable.dtype),
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.SUM,
            )
            for variable in variables
        ]

    def replica_part(image, mask, index):
        size = tf.shape(image)[0] // steps
        part = slice(index * size, (index + 1) * size)
        gradients, losses = gradients_of(image[part], mask[part], mask, index)
        for total, gradient in zip(sums, gradients, strict=True):
            total.assign_add(gradient)
        return losses

    def replica_end():
        apply([tf.convert_to_tensor(total) for total in sums])
        for total in sums:
            total.assign(tf.zeros_like(total))

    @tf.function(autograph=False)
    def run_part(image, mask, index):
        losses = strategy.run(replica_part, args=(image, mask, index))
        return sum_losses(strategy, losses)

    @tf.function(autograph=False)
    def run_end():
        strategy.run(replica_end)

    def train_step(image, mask):
        # The parts are separate calls: a loop in one graph might hold several parts in memory.
        parts = [run_part(image, mask, tf.constant(index)) for index in range(steps)]
        run_end()
        return {name: tf.add_n([losses[name] for losses in parts]) for name in parts[0]}

    return train_step


def sum_losses(
    strategy: tf.distribute.Strategy, losses: dict[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    """Returns each loss of the global batch by name: the sum of the replicas' shares."""
    return {
        name: strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)
        for name, value in losses.items()
    }
