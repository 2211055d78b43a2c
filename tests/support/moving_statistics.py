"""The check that a trained network computes by its moving statistics about what it was trained to.

A test that looks at losses of training cannot see that the evaluated network is another.
"""

import math

import numpy as np
import tensorflow as tf

from deeplab_tf.config import BatchNormMode
from deeplab_tf.models import FusedBatchNormalization, build_model
from deeplab_tf.training.build import Training
from deeplab_tf.training.loss import mean_cross_entropy

BOUND = 2.0
"""The largest rise of the cross entropy, in nats, of batches of a few images, beyond a doubling: a
network that random options let diverge has large scores either way."""
PARTS = 2
"""Parts of a batch that the statistics are measured on."""


def check_moving_statistics(training: Training, batches: list) -> None:
    """Asserts that the cross entropy of the last batch, as evaluated, is near the one as trained.

    The moving statistics are measured on `batches` by the network's own steps, as a long run would
    have them; the network's numbers stay as they are. A network with norms of two or three samples
    is left out: its training says that their statistics are rough.
    """
    if any("rough statistics" in note for note in training.notes):
        return
    network, images = _single(training), _images_a_norm(training)
    batches = [training.on_host(batch) for batch in batches]
    before = network.get_weights()
    norms = [x for x in network.layers if isinstance(x, FusedBatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    parts = [
        (image[start : start + images], mask[start : start + images])
        for image, mask in batches
        for start in range(0, len(image), images)[:PARTS]
    ]
    trained = []
    for number, (image, mask) in enumerate(parts):
        for norm in norms:
            norm.momentum = number / (number + 1)  # the statistics are the mean over the parts
        trained.append(_cross_entropy(mask, network(image, training=True)))
    evaluated = [_cross_entropy(mask, network(image, training=False)) for image, mask in parts]
    network.set_weights(before)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    rise = np.nanmean(evaluated) - 2 * np.nanmean(trained)
    assert math.isnan(rise) or rise < BOUND, (trained, evaluated)


def _cross_entropy(mask, logits) -> float:
    return float(mean_cross_entropy(tf.constant(mask), logits)["cross_entropy"])


def _images_a_norm(training: Training) -> int:
    train = training.run.experiment.train
    images = train.batch_size // train.accumulate_steps
    synchronised = train.batch_norm is BatchNormMode.SYNC
    return images if synchronised else images // training.run.strategy.num_replicas_in_sync


def _single(training: Training):
    """The network on one device, with each layer in the state in which it was trained."""
    if training.run.strategy.num_replicas_in_sync == 1:
        return training.model
    network = build_model(training.run.experiment.model)
    network.set_weights(training.model.get_weights())
    for ours, theirs in zip(network.layers, training.model.layers, strict=True):
        ours.trainable = theirs.trainable
        ours.holds_statistics = getattr(theirs, "holds_statistics", False)
    return network
