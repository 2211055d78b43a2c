"""The comparison of imported weights with the source's own runtime, in numbers."""

import dataclasses
from collections.abc import Iterable

import keras
import numpy as np

from deeplab_tf.errors import DeeplabError
from deeplab_tf.weights.imported import Reference

LEAST_AGREEMENT = 0.999
LARGEST_DIFFERENCE = 1e-3
"""The bounds for an import of float weights: the least share of equal labels, and the largest
difference of outputs, relative to the largest output (or to 1 where all outputs are smaller)."""


@dataclasses.dataclass(frozen=True)
class ImportParity:
    """The agreement of a network with its source on some images, in numbers.

    A figure is None where the source does not give the labels or the outputs for it.

    Attributes:
        images: how many images were compared.
        label_agreement: share of equal labels over all pixels, 0..1.
        largest_difference: the largest difference of two outputs (logits, or features of a
            backbone).
        largest_output: the largest output of the source, by magnitude.
        relative_error: root mean square of the differences, divided by that of the source's
            outputs.
    """

    images: int
    label_agreement: float | None
    largest_difference: float | None
    largest_output: float | None
    relative_error: float | None

    def format(self) -> str:
        """Returns the figures in one line."""
        parts = []
        if self.label_agreement is not None:
            parts.append(f"{self.label_agreement:.4%} of the labels are equal")
        if self.largest_difference is not None:
            parts.append(
                f"the largest difference is {self.largest_difference:.2g} of outputs up to "
                f"{self.largest_output:.3g}, the relative error {self.relative_error:.2g}"
            )
        return f"{'; '.join(parts)} (on {self.images} image{'s' if self.images > 1 else ''})"

    def check(self, what: str) -> None:
        """Raises `DeeplabError`, naming `what`, where an import of float weights misses a bound."""
        labels, outputs = self.label_agreement, self.largest_difference
        # The comparisons are negated, so that NaN does not pass.
        if (labels is not None and not labels >= LEAST_AGREEMENT) or (
            outputs is not None
            and not outputs <= LARGEST_DIFFERENCE * max(1.0, self.largest_output or 0)
        ):
            raise DeeplabError(
                f"{what} is not imported: the network does not answer as its source, "
                f"{self.format()}; at least {LEAST_AGREEMENT:.1%} and at most "
                f"{LARGEST_DIFFERENCE:g} of the largest output are allowed"
            )


def measure(model: keras.Model, reference: Reference, images: Iterable[np.ndarray]) -> ImportParity:
    """Runs `model` and `reference` on each image and returns their agreement.

    Args:
        model: the network with the imported weights.
        reference: the source's own runtime.
        images: uint8 arrays [H, W, 3], of sizes that the source takes.
    """
    count = pixels = equal = values = 0
    largest = magnitude = squares = norm = 0.0
    for image in images:
        ours = np.asarray(model(image[None], training=False))
        labels, outputs = reference(image[None])
        count += 1
        if labels is not None:
            equal += int(np.sum(ours.argmax(axis=-1) == labels))
            pixels += labels.size
        if outputs is not None:
            difference = np.abs(ours - outputs, dtype=np.float64)
            largest = float(np.maximum(largest, difference.max()))  # maximum keeps NaN
            magnitude = float(np.maximum(magnitude, np.abs(outputs).max()))
            squares += float(np.square(difference).sum())
            norm += float(np.square(outputs, dtype=np.float64).sum())
            values += outputs.size
    return ImportParity(
        count,
        equal / pixels if pixels else None,
        largest if values else None,
        magnitude if values else None,
        (squares / norm) ** 0.5 if norm else None,
    )
