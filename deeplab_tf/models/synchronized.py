"""Batch norm over the images of all replicas, with one collective operation in each direction.

Keras' `synchronized=True` calls three in each direction, one of them for a map of ones as large as
the input, and normalises by separate operations.

Tested in tests/models/test_batch_norm.py, through `FusedBatchNormalization`.
"""

import tensorflow as tf

from deeplab_tf.distributed.strategy import sum_over_replicas
from deeplab_tf.models.atrous import gradient_names

AXES = (0, 1, 2)


def normalize(x, gamma, beta, shift, epsilon: float):
    """Normalises `x` by the mean and variance over all replicas of the current strategy.

    Args:
        x: [B, H, W, C] of any float type; a replica may have no image.
        gamma, beta: float32 [C].
        shift: float32 [C], the same on all replicas and near the mean, as the moving mean is. The
            variance is that of `x - shift`, so that it keeps its digits where the mean is large.

    Returns:
        The result, shape and dtype of `x`; the mean and the variance, float32 [C], not
        Bessel-corrected and without a gradient.
    """

    mean, variance, count = _statistics(tf.stop_gradient(x), shift)

    @tf.custom_gradient
    def normalized(x, gamma, beta):
        names = gradient_names()

        def gradient(dy):
            with names:
                return _gradient(dy, x, gamma, mean, variance, count, epsilon)

        y, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=gamma,
            offset=beta,
            mean=mean,
            variance=variance,
            epsilon=epsilon,
            is_training=False,
        )
        return y, gradient

    return normalized(x, gamma, beta), mean, variance


def _statistics(x, shift):
    """Returns mean and variance, float32 [C], and the number of samples, of all replicas."""
    x = tf.cast(x, tf.float32)
    mean = tf.reduce_mean(x, AXES)
    variance = tf.reduce_mean(tf.math.squared_difference(x, mean), AXES)
    count = tf.cast(tf.reduce_prod(tf.shape(x)[:3]), tf.float32)
    from_shift = mean - shift
    # The mean of no pixel is NaN.
    sums = [
        tf.math.multiply_no_nan(from_shift, count),
        tf.math.multiply_no_nan(variance + tf.square(from_shift), count),
    ]
    *sums, count = _all_replicas([*sums, count[None]])
    mean, square = (total / count for total in sums)
    return shift + mean, tf.maximum(square - tf.square(mean), 0.0), count


def _gradient(dy, x, gamma, mean, variance, count, epsilon: float):
    """Returns the gradients of `x`, `gamma` and `beta`, the last two of this replica's images.

    The gradient of `x` is that with mean and variance held, less what each pixel changes through
    them: (gamma / deviation) * (sum(dy) + normalized x * sum(dy * normalized x)) / count.
    """
    held, dgamma, dbeta, *_ = tf.raw_ops.FusedBatchNormGradV3(
        y_backprop=dy,
        x=x,
        scale=gamma,
        reserve_space_1=mean,
        reserve_space_2=variance,
        reserve_space_3=[],
        epsilon=epsilon,
        is_training=False,
    )
    all_dgamma, all_dbeta = _all_replicas([dgamma, dbeta])
    inverse = tf.math.rsqrt(variance + epsilon)
    slope = -gamma * tf.square(inverse) * all_dgamma / count
    offset = -gamma * inverse * all_dbeta / count - slope * mean
    through_statistics = tf.cast(x, tf.float32) * slope + offset
    return held + tf.cast(through_statistics, x.dtype), dgamma, dbeta


def _all_replicas(values: list) -> list:
    """Returns vectors summed over the replicas, by one collective operation for all of them."""
    summed = sum_over_replicas(tf.concat(values, 0))
    return tf.split(summed, [value.shape[0] for value in values])
