"""Class scores of one image as labels and as probabilities in 16 bits, at the image's own size."""

import dataclasses

import numpy as np
import tensorflow as tf

from deeplab_tf.images.resampling import STRIP_VALUES, enlarged_rows

ONE = 65535
"""The integer of 16 bits that stands for the probability 1."""


@dataclasses.dataclass(frozen=True)
class ScoreMap:
    """The scores whose largest one in a pixel is the label.

    Attributes:
        values: float32 [B, h, w, C], of the images' size or smaller, to be enlarged bilinearly.
        are_logits: whether their softmax gives the probabilities; if not, they are these.
    """

    values: np.ndarray
    are_logits: bool


@dataclasses.dataclass(frozen=True)
class Scored:
    """The labels and probabilities of one image.

    Attributes:
        labels: uint8 [H, W].
        confidence: uint16 [H, W], the largest probability, with `ONE` for 1.
        probabilities: uint16 [H, W, C], with `ONE` for 1; None where they were not asked for.
    """

    labels: np.ndarray
    confidence: np.ndarray
    probabilities: np.ndarray | None = None


def labels_and_confidence(scores: tf.Tensor, are_logits: bool) -> dict[str, tf.Tensor]:
    """Returns `labels`, uint8 [B, H, W], and `confidence`, float32 [B, H, W], their probability.

    Args:
        scores: float32 [B, H, W, C].
        are_logits: whether their softmax gives the probabilities; if not, they are these.
    """
    labels = tf.cast(tf.argmax(scores, axis=-1, output_type=tf.int32), tf.uint8)
    shares = tf.nn.softmax(scores) if are_logits else scores
    return {"labels": labels, "confidence": tf.reduce_max(shares, axis=-1)}


def scored(scores: ScoreMap, size: tuple[int, int], every_class: bool) -> Scored:
    """Returns the labels and probabilities of the one image of `scores`.

    The scores are enlarged, and labels and probabilities taken of them, by strips of rows, so that
    the enlarged scores are never whole. The probability of the label is the largest one of the
    pixel; others may equal it after the rounding to 16 bits.

    Args:
        scores: those of one image, B = 1.
        size: (height, width) of the image.
        every_class: whether to keep the probabilities of all classes.
    """
    height, width = size
    classes = scores.values.shape[-1]
    labels, confidence = np.empty(size, np.uint8), np.empty(size, np.uint16)
    kept = np.empty((*size, classes), np.uint16) if every_class else None
    values, full = tf.constant(scores.values), tf.constant(size)
    step = max(1, STRIP_VALUES // (width * classes))
    for top in range(0, height, step):
        rows = slice(top, min(top + step, height))
        found = _rows(values, full, tf.range(top, rows.stop), tf.constant(scores.are_logits))
        labels[rows], shares = (part.numpy() for part in found)
        confidence[rows] = shares.max(axis=-1)
        if kept is not None:
            kept[rows] = shares
    return Scored(labels, confidence, kept)


@tf.function(
    input_signature=[
        tf.TensorSpec([1, None, None, None]),
        tf.TensorSpec([2], tf.int32),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([], tf.bool),
    ],
    autograph=False,
)
def _rows(
    values: tf.Tensor, size: tf.Tensor, rows: tf.Tensor, are_logits: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns labels, uint8 [len(rows), W], and probabilities, uint16 [len(rows), W, C]."""
    found = enlarged_rows(values, (size[0], size[1]), rows)[0]
    shares = tf.cond(are_logits, lambda: tf.nn.softmax(found), lambda: found)
    labels = tf.cast(tf.argmax(found, axis=-1, output_type=tf.int32), tf.uint8)
    return labels, tf.saturate_cast(tf.round(shares * ONE), tf.uint16)
