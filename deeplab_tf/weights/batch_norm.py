"""Estimates of batch norm statistics, for weights into which the batch norms had been folded."""

from collections.abc import Iterable, Sequence

import keras
import numpy as np

from deeplab_tf.models import FusedBatchNormalization


def estimate_statistics(
    model: keras.Model,
    images: Iterable[np.ndarray],
    norms: Sequence[FusedBatchNormalization] | None = None,
) -> None:
    """Sets the mean and variance of batch norms of `model` to those of their inputs on `images`.

    Gamma and beta change with the statistics, so that the network remains the same function. The
    network can then be fine-tuned with batch norm in training mode: on a batch like `images` it
    begins as the imported network.

    Args:
        model: a network of this package, whose batch norms may have any values.
        images: uint8 arrays [H, W, bands], of any sizes.
        norms: the batch norms to set; None sets all.

    Raises:
        ValueError: there is no image.
    """
    if norms is None:
        norms = [layer for layer in model.layers if isinstance(layer, FusedBatchNormalization)]
    inputs = keras.Model(model.input, [norm.input for norm in norms])
    totals = [np.zeros((2, norm.gamma.shape[0])) for norm in norms]
    counts = np.zeros(len(norms))
    for image in images:
        for index, x in enumerate(inputs(image[None], training=False)):
            x = np.asarray(x, np.float64)
            totals[index] += [x.sum(axis=(0, 1, 2)), np.square(x).sum(axis=(0, 1, 2))]
            counts[index] += x.size // x.shape[-1]
    if not counts.all():
        raise ValueError("images must have one image at least. Received: none")
    for norm, (total, squares), count in zip(norms, totals, counts, strict=True):
        old = [
            np.asarray(w, np.float64) for w in (norm.gamma, norm.beta, *norm.non_trainable_weights)
        ]
        scale = old[0] / np.sqrt(old[3] + norm.epsilon)
        mean = total / count
        variance = np.maximum(squares / count - mean**2, 0.0)
        # y = scale * (x - old mean) + old beta, written with the new mean and variance.
        gamma = scale * np.sqrt(variance + norm.epsilon)
        norm.set_weights([gamma, old[1] + scale * (mean - old[2]), mean, variance])
