"""The learning rate of each step: poly, cosine or constant, after a linear warm-up."""

import keras
from keras import ops

from deeplab_tf.config import ScheduleName, TrainConfig
from deeplab_tf.config.gaps import known


def make_schedule(train: TrainConfig) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns the learning rate as a function of the step, counted from 0; float32.

    Over the N steps after the warm-up, the rate of the s-th, counted from 0, is
    `base * (1 - s / N) ^ power` with `poly` (section 4.1), `base * (1 + cos(pi * s / N)) / 2` with
    `cosine` (arXiv 1608.03983, without restarts) and `base` with `constant`. The first two are 0
    after the last step.
    """
    base, steps = known(train.base_learning_rate), known(train.steps) - train.warmup_steps
    schedules = keras.optimizers.schedules
    match train.schedule:
        case ScheduleName.POLY:
            after = schedules.PolynomialDecay(
                base, decay_steps=steps, end_learning_rate=0.0, power=train.power
            )
        case ScheduleName.COSINE:
            after = schedules.CosineDecay(base, decay_steps=steps)
        case ScheduleName.CONSTANT:
            after = schedules.ExponentialDecay(base, decay_steps=steps, decay_rate=1.0)
    return WarmUp(base, train.warmup_steps, after) if train.warmup_steps else after


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that begins after a rise of the rate by equal steps (arXiv 1706.02677).

    The rate of step s, counted from 0, is `base * (s + 1) / (steps + 1)` before step `steps`, so
    that no step has the rate 0, and `after(s - steps)` from then on. Keras' own warm-up, of its
    cosine alone, begins at 0.

    Args:
        base: the rate that is reached at step `steps`.
        steps: the length of the rise.
        after: the schedule that follows.
    """

    def __init__(
        self, base: float, steps: int, after: keras.optimizers.schedules.LearningRateSchedule
    ):
        self.base, self.steps, self.after = base, steps, after

    def __call__(self, step):
        """Returns the rate of `step`, an integer scalar, as a float32 scalar."""
        step = ops.cast(step, "float32")
        rising = self.base * ((step + 1) / (self.steps + 1))
        return ops.where(step < self.steps, rising, self.after(ops.maximum(step - self.steps, 0.0)))
