"""Whether a model is as sure as it is right: expected calibration error and reliability curve.

The confidence of a pixel is the largest class probability after the whole inference strategy
(scales, flip, windows, CRF), at the image's own size. All pixels that are not void count. They fall
into `BINS` bins of equal width by their confidence (Guo et al., arXiv 1706.04599, section 2). A
bin's accuracy is the share of its pixels whose label is right. The expected calibration error is
the mean of |accuracy - confidence| over the bins, weighted by their pixels.
"""

import dataclasses

import numpy as np

from deeplab_tf.images.classes import VOID
from deeplab_tf.images.scored import ONE

BINS = 15
# Bin b, counted from 0, has the confidences above b / BINS, up to (b + 1) / BINS.
_BIN_OF = np.maximum((np.arange(ONE + 1, dtype=np.int64) * BINS - 1) // ONE, 0).astype(np.uint8)


def calibration_counts(mask: np.ndarray, labels: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Counts the pixels of an image by their confidence; the counts of several images add up.

    Args:
        mask: the ground truth, uint8 [H, W] of classes and `VOID`.
        labels: the prediction, uint8 [H, W].
        confidence: uint16 [H, W], with `ONE` for 1.

    Returns:
        int64 [BINS, 3]: the pixels of each bin, those whose label is right, and the sum of their
        confidences, each with `ONE` for 1.
    """
    known = mask != VOID
    units = confidence[known]
    bins = _BIN_OF[units]
    right = bins[mask[known] == labels[known]]
    counts = (
        np.bincount(bins, minlength=BINS),
        np.bincount(right, minlength=BINS),
        # The sums are whole numbers far below 2**53, so float64 holds them exactly.
        np.bincount(bins, weights=units, minlength=BINS),
    )
    return np.stack(counts, axis=-1).astype(np.int64)


@dataclasses.dataclass(frozen=True)
class Calibration:
    """The counts of all images as shares.

    Attributes:
        pixels: int64 [BINS].
        accuracy: the share of right labels of each bin, float64 [BINS], 0..1; NaN without pixels.
        confidence: the mean confidence of each bin, likewise.
    """

    pixels: np.ndarray
    accuracy: np.ndarray
    confidence: np.ndarray

    @classmethod
    def of(cls, counts: np.ndarray) -> "Calibration":
        """Computes the shares from the sum of `calibration_counts`."""
        pixels, right, units = counts.T
        some, empty = pixels > 0, np.full(BINS, np.nan)
        accuracy = np.divide(right, pixels, out=empty.copy(), where=some)
        return cls(pixels, accuracy, np.divide(units, pixels * ONE, out=empty, where=some))

    @property
    def error(self) -> float | None:
        """Returns the expected calibration error, 0..1; None without a pixel."""
        return self._mean(np.abs(self.accuracy - self.confidence))

    @property
    def mean_confidence(self) -> float | None:
        """Returns the mean confidence over all pixels, 0..1; None without a pixel."""
        return self._mean(self.confidence)

    def _mean(self, values: np.ndarray) -> float | None:
        total = int(self.pixels.sum())
        return float(np.nansum(self.pixels * values) / total) if total else None

    def to_json(self) -> dict:
        """Returns the entry of `eval.json`; a bin without pixels has None for its shares."""
        bins = [
            {
                "pixels": int(pixels),
                "accuracy": float(accuracy) if pixels else None,
                "confidence": float(confidence) if pixels else None,
            }
            for pixels, accuracy, confidence in zip(
                self.pixels, self.accuracy, self.confidence, strict=True
            )
        ]
        return {
            "expected_calibration_error": self.error,
            "mean_confidence": self.mean_confidence,
            "bins": bins,
        }
