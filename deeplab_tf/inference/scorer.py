"""An image's labels and cross entropy by an inference strategy, for weights that change.

A training evaluates its network so.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from deeplab_tf.artefacts.trained_model import TrainedModel
from deeplab_tf.config import EvaluateConfig
from deeplab_tf.images.classes import VOID
from deeplab_tf.images.resampling import enlarge_probabilities
from deeplab_tf.inference.strategies import Strategy, gives_logits, score_function
from deeplab_tf.inference.working_size import at_working_size, noting, working_size_of

SMALLEST = float(np.finfo(np.float32).tiny)
"""The least probability that an average over views counts as, about e^-87.3, since 0 has no log."""


class Scorer:
    """A network that labels images as `images_to_labels` does and scores the labels by the truth.

    The network is built and traced once, and takes new weights by `copy_weights`.

    Args:
        trained: the network and its experiment.
        evaluate_config: output_stride, working_size, scales, flip, windows, padding and CRF.
        report: gets one line at the first image that is larger than those of the training.

    Raises:
        DeeplabError: `evaluate_config.crf` is true and the CRF's library is missing or the images
            are not RGB.
    """

    def __init__(
        self,
        trained: TrainedModel,
        evaluate_config: EvaluateConfig,
        report: Callable[[str], None] = print,
    ):
        self._strategy = Strategy(trained, evaluate_config)
        self._are_logits = tf.constant(gives_logits(evaluate_config))
        scores = self._strategy.apply(score_function)
        working = working_size_of(trained.experiment, evaluate_config)
        working = dataclasses.replace(working, in_training=True)
        at_any_size = at_working_size(
            scores,
            lambda images: (None, scores(images)),
            working.longest,
            # Labels are the argmax of enlarged scores, logits or not, so these stay as they are.
            lambda _, found, size: enlarge_probabilities(found, size, are_logits=False),
        )
        self._scores = noting(at_any_size, working, report)

    def copy_weights(self) -> None:
        """Takes the present weights of `trained.model` over."""
        self._strategy.copy_weights()

    def __call__(self, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, float]:
        """Returns the labels of one image, and the cross entropy of its valid pixels.

        Args:
            image: [H, W, bands] in the dtype of `trained.image_format`.
            mask: uint8 [H, W] of class ids and `VOID`.

        Returns:
            uint8 [H, W], and the sum over the pixels that are not void of the negative logarithm of
            the true class' probability, in nats.
        """
        scores = self._scores(image[None])[0]
        labels, loss = _labels_and_loss(tf.constant(scores), tf.constant(mask), self._are_logits)
        return labels.numpy(), float(loss)


@tf.function(
    autograph=False,
    input_signature=[
        tf.TensorSpec([None, None, None], tf.float32),
        tf.TensorSpec([None, None], tf.uint8),
        tf.TensorSpec([], tf.bool),
    ],
)
def _labels_and_loss(
    scores: tf.Tensor, mask: tf.Tensor, are_logits: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    valid = mask != VOID
    true = tf.cast(tf.where(valid, mask, tf.zeros_like(mask)), tf.int32)
    of_truth = tf.gather(scores, true, batch_dims=2)
    loss = tf.cond(
        are_logits,
        lambda: tf.reduce_logsumexp(scores, axis=-1) - of_truth,
        lambda: -tf.math.log(tf.maximum(of_truth, SMALLEST)),
    )
    # A sum of float32 loses digits over millions of pixels.
    loss = tf.where(valid, tf.cast(loss, tf.float64), tf.zeros((), tf.float64))
    return tf.cast(tf.argmax(scores, axis=-1), tf.uint8), tf.reduce_sum(loss)
