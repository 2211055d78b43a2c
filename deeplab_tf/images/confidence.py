"""The confidence of labels: the largest class probability of a pixel, in whole units.

Whole units make sums of confidences exact in any order, over any number of processes.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from deeplab_tf.images.resampling import enlarge_by_strips

UNITS = 65535
"""The units of the confidence 1."""
CONFIDENT = np.dtype([("label", np.uint8), ("confidence", np.uint16)])
"""The type of a pixel's label with its confidence in `UNITS`."""


def label_and_confidence(scores: tf.Tensor, are_logits: bool | tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the maps `label`, uint8, and `confidence`, uint16 in `UNITS`, of scores.

    Args:
        scores: float32 [..., C], logits or probabilities.
        are_logits: which of the two, where it is a tensor a scalar bool.
    """
    labels = tf.cast(tf.argmax(scores, axis=-1, output_type=tf.int32), tf.uint8)
    most = tf.reduce_max(scores, axis=-1)
    if tf.is_tensor(are_logits):
        share = tf.cond(are_logits, lambda: _softmax_of(most, scores), lambda: most)
    else:
        share = _softmax_of(most, scores) if are_logits else most
    units = tf.cast(tf.round(tf.clip_by_value(share, 0.0, 1.0) * UNITS), tf.int32)
    return {"label": labels, "confidence": tf.cast(units, tf.uint16)}


def _softmax_of(most: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return tf.exp(most - tf.reduce_logsumexp(logits, axis=-1))


def confident(labels: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Returns one array of `CONFIDENT`, of the shape of both arguments.

    Args:
        labels: integers 0..255.
        confidence: uint16 in `UNITS`, or floats 0..1, which are rounded to units.
    """
    both = np.empty(labels.shape, CONFIDENT)
    both["label"] = labels
    if confidence.dtype != np.uint16:
        confidence = np.round(np.clip(confidence, 0, 1) * UNITS)
    both["confidence"] = confidence
    return both


def confident_by_scores(
    labels: np.ndarray | None, scores: Any, size: tuple[int, int], are_logits: bool = True
) -> np.ndarray:
    """Returns `CONFIDENT` [B, *size] by the scores, which are enlarged where they are smaller.

    Args:
        labels: integers [B, h, w], the argmax of `scores`, which are taken where nothing is
            enlarged; None takes the argmax.
        scores: float32 [B, h, w, C].
        size: (height, width) of the result.
        are_logits: whether the scores are logits; else they are probabilities.
    """
    found = _enlarged(tf.constant(scores), tf.constant(size), tf.constant(are_logits))
    if labels is None or labels.shape[1:3] != tuple(size):
        labels = found["label"].numpy()
    return confident(labels, found["confidence"].numpy())


@tf.function(
    input_signature=[
        tf.TensorSpec([None] * 4),
        tf.TensorSpec([2], tf.int32),
        tf.TensorSpec([], tf.bool),
    ]
)
def _enlarged(scores: tf.Tensor, size: tf.Tensor, are_logits: tf.Tensor) -> dict[str, tf.Tensor]:
    return tf.cond(
        tf.reduce_all(tf.shape(scores)[1:3] == size),
        lambda: label_and_confidence(scores, are_logits),
        lambda: enlarge_by_strips(
            scores, (size[0], size[1]), lambda strip: label_and_confidence(strip, are_logits)
        ),
    )
