"""Batch norm statistics for initial weights whose batch norms had been folded into convolutions.

Such weights come from LiteRT files. Their batch norms are the identity with a shift, which predicts
as it should; but a step of training would normalise by the statistics of its batch, and so begin
with another function.
"""

import itertools
from collections.abc import Callable, Iterator

import keras
import numpy as np

from deeplab_tf.config import BatchNormMode
from deeplab_tf.errors import DeeplabError
from deeplab_tf.models import FusedBatchNormalization
from deeplab_tf.training.build import Training
from deeplab_tf.weights.batch_norm import estimate_statistics

IMAGES = 32
"""The number of training examples that the statistics are estimated on."""


def fill_statistics(training: Training, report: Callable[[str], None]) -> None:
    """Estimates the statistics that the network's initial weights lack, on the first examples.

    The network remains the same function, and a step of training begins with it. Batch norms with
    statistics stay as they are. Nothing is done where the training freezes the batch norms.

    Args:
        training: a training whose initial weights were loaded.
        report: gets one line where statistics were estimated.

    Raises:
        DeeplabError: statistics are missing, and several workers would each estimate their own.
    """
    if training.run.experiment.train.batch_norm is BatchNormMode.FROZEN:
        return
    norms = norms_without_statistics(training.network)
    if not norms:
        return
    if training.run.workers.count > 1:
        raise DeeplabError(
            f"the initial weights have no statistics for {len(norms)} batch norms, and several "
            "workers would each estimate their own; import the weights by deeplab-import with "
            "--images like those of the training, and give that file as config.init_from"
        )
    estimate_statistics(training.network, _first_images(training), norms)
    report(
        f"the initial weights have no statistics for {len(norms)} batch norms; they were estimated "
        f"on the first {IMAGES} training examples"
    )


def norms_without_statistics(model: keras.Model) -> list[FusedBatchNormalization]:
    """Returns the batch norms whose values are those of an import that found them folded.

    Gamma is 1, the mean 0, and beta is not 0, as it is in a new network.
    """
    return [
        layer
        for layer in model.layers
        if isinstance(layer, FusedBatchNormalization)
        and np.all(np.asarray(layer.gamma) == 1)
        and np.all(np.asarray(layer.moving_mean) == 0)
        and np.any(np.asarray(layer.beta) != 0)
    ]


def _first_images(training: Training) -> Iterator[np.ndarray]:
    """Yields the images [H, W, bands] of the first `IMAGES` training examples."""
    images = (image for batch in training.batches(0) for image in training.on_host(batch)[0])
    yield from itertools.islice(images, IMAGES)
