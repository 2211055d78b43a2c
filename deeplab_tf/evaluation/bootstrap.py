"""Differences between two runs on the same images, with bootstrap intervals over the images.

Each draw takes as many images as there are, with replacement, the same for both runs, adds up their
counts and computes IoU by class and mean IoU of both runs anew. The interval of a difference has
95 % of the draws' differences (percentiles). It says how the difference would vary with other
images of the same kind, and nothing of other trainings of the same kind.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from deeplab_tf.evaluation.image_counts import ImageCounts

DRAWS = 1000
LEVEL = 0.95
SEED = 0
FEW = 5
"""The fewest images from which an interval is taken for clear: draws of one image are all alike."""
_TOGETHER = 1 << 23
"""The most draws times images whose weights are in memory together, 64 MB."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """One figure of two runs, 0..1; None where no pixel stands behind it.

    Attributes:
        before, after: the figures.
        low, high: the interval of `after - before`.
        images: the number of images whose truth has the class; of the mean, all images.
    """

    before: float | None
    after: float | None
    low: float | None
    high: float | None
    images: int

    @property
    def change(self) -> float | None:
        """Returns `after - before`."""
        return None if self.before is None or self.after is None else self.after - self.before

    @property
    def is_clear(self) -> bool:
        """Returns whether the interval lies on one side of 0, and enough images stand behind it."""
        if self.low is None or self.high is None or self.images < FEW:
            return False
        return self.low * self.high > 0


def differences(
    before: Sequence[ImageCounts],
    after: Sequence[ImageCounts],
    num_classes: int,
    draws: int = DRAWS,
) -> tuple[Difference, list[Difference]]:
    """Returns the difference of the mean IoU, and those of the IoU of each class.

    Args:
        before, after: the counts of the same images in the same order, by the two runs.
        num_classes: the number of classes.
        draws: the number of bootstrap draws.
    """
    counts = [_counts(images, num_classes) for images in (before, after)]
    whole = [_iou(each, np.ones((1, len(before)))) for each in counts]
    drawn = np.concatenate(
        [
            np.stack([_iou(each, weights) for each in counts])
            for weights in _weights(len(before), draws)
        ],
        axis=1,
    )
    behind = np.zeros(num_classes + 1, int)
    behind[-1] = len(before)
    for image in before:
        behind[image.classes[image.counts[:, 1] > 0]] += 1
    columns = []
    each = zip(np.stack(whole)[:, 0].T, drawn.T, behind.tolist(), strict=True)
    for iou, several, images in each:
        change = several[:, 1] - several[:, 0]
        change = change[~np.isnan(change)]  # draws without a pixel of the class
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(change, [tail, 1 - tail]) if len(change) else (np.nan, np.nan)
        first, second = map(_or_none, iou)
        columns.append(Difference(first, second, _or_none(low), _or_none(high), images))
    return columns[-1], columns[:-1]


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _weights(images: int, draws: int):
    """Yields how often each image was drawn, float64 [draws at a time, images]."""
    rng = np.random.default_rng(SEED)
    step = max(1, _TOGETHER // images)
    for start in range(0, draws, step):
        count = min(step, draws - start)
        chosen = rng.integers(images, size=(count, images))
        chosen += images * np.arange(count)[:, None]
        weights = np.bincount(chosen.ravel(), minlength=count * images)
        yield weights.reshape(count, images).astype(np.float64)


def _counts(images: Sequence[ImageCounts], num_classes: int) -> tuple[sparse.csr_array, ...]:
    """Returns the intersections and the unions, sparse float64 [classes, images]."""
    columns = np.repeat(np.arange(len(images)), [len(image.classes) for image in images])
    rows = np.concatenate([image.classes for image in images])
    parts = ([image.counts[:, 0] for image in images], [image.union for image in images])
    return tuple(
        sparse.csr_array(
            (np.concatenate(part).astype(np.float64), (rows, columns)), (num_classes, len(images))
        )
        for part in parts
    )


def _iou(counts: tuple[sparse.csr_array, ...], weights: np.ndarray) -> np.ndarray:
    """Returns the IoU of each class for each draw, and their mean last, float64 [draws, C + 1].

    NaN stands for a class without pixels.
    """
    intersection, union = (np.asarray(each @ weights.T).T for each in counts)
    iou = np.divide(intersection, union, out=np.full(union.shape, np.nan), where=union > 0)
    present = np.maximum((union > 0).sum(axis=1), 1)
    mean = np.where((union > 0).any(axis=1), np.nansum(iou, axis=1) / present, np.nan)
    return np.concatenate([iou, mean[:, None]], axis=1)
