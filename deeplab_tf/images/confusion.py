"""The confusion matrix and the figures computed from it (section 4: mean IoU over a whole set)."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOID
from deeplab_tf.text_table import align


def confusion_matrix(mask: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts pixels by (true class, predicted class).

    Args:
        mask: the ground truth, an integer array of any shape: 0..num_classes-1, or `VOID`, whose
            pixels are left out.
        labels: the prediction, an integer array of the same shape: 0..num_classes-1; anything
            where `mask` is `VOID`.
        num_classes: the number of classes, without void.

    Returns:
        int64 [num_classes, num_classes]; rows are true classes, columns predicted classes. Matrices
        of several images add up.

    Raises:
        DeeplabError: the shapes differ, or a label lies outside the classes; the message names the
            label and its pixel.
    """
    if mask.shape != labels.shape:
        raise DeeplabError(
            f"truth and prediction must have one size. Received: {_size(mask)} and {_size(labels)}"
        )
    counted = mask != VOID
    check_truth(mask, num_classes)
    _check_range("the prediction", labels, counted, num_classes)
    pairs = mask[counted].astype(np.int64) * num_classes + labels[counted]
    counts = np.bincount(pairs, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes).astype(np.int64)


def check_truth(mask: np.ndarray, num_classes: int) -> None:
    """Checks that the ground truth, an integer array, has only classes and `VOID`.

    Raises:
        DeeplabError: a label is neither; the message names the label and its pixel.
    """
    _check_range("the truth", mask, mask != VOID, num_classes)


def _check_range(what: str, labels: np.ndarray, counted: np.ndarray, num_classes: int) -> None:
    wrong = counted & ((labels < 0) | (labels >= num_classes))
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        where = f"row {place[0]}, column {place[1]}" if len(place) == 2 else f"index {place}"
        raise DeeplabError(
            f"{what} has label {labels[place]} at {where}; classes are 0..{num_classes - 1}"
        )


def _size(labels: np.ndarray) -> str:
    return "x".join(str(side) for side in reversed(labels.shape))


@dataclasses.dataclass(frozen=True)
class ClassScore:
    """The figures of one class.

    Attributes:
        iou: intersection over union, 0..1; 0 where the class is only in the truth or only in the
            predictions; None where the class is in neither (absent).
        accuracy: the share of the class's true pixels that were found, 0..1, which is its recall;
            None without true pixels.
        truth_pixels, predicted_pixels: the numbers of true and of predicted pixels, outside void.
        hit_pixels: the number of pixels in both.
    """

    iou: float | None
    accuracy: float | None
    truth_pixels: int
    predicted_pixels: int
    hit_pixels: int

    @property
    def precision(self) -> float | None:
        """Returns the share of the class's predicted pixels that are right, 0..1; None without
        predicted pixels."""
        return self.hit_pixels / self.predicted_pixels if self.predicted_pixels else None

    @property
    def dice(self) -> float | None:
        """Returns twice the intersection over the sum of true and predicted pixels, 0..1, which is
        the F1 score; None where the class is in neither."""
        total = self.truth_pixels + self.predicted_pixels
        return 2 * self.hit_pixels / total if total else None


@dataclasses.dataclass(frozen=True)
class Scores:
    """The figures of one confusion matrix, 0..1; None where no pixel stands behind a figure.

    Attributes:
        classes: one `ClassScore` a class.
        mean_iou: the mean IoU over the classes that are not absent.
        pixel_accuracy: correct pixels / all pixels outside void.
        mean_accuracy: the mean accuracy over the classes with true pixels.
        frequency_weighted_iou: IoU weighted by each class's share of the true pixels.
    """

    classes: tuple[ClassScore, ...]
    mean_iou: float | None
    pixel_accuracy: float | None
    mean_accuracy: float | None
    frequency_weighted_iou: float | None

    @classmethod
    def from_matrix(cls, matrix: np.ndarray) -> "Scores":
        """Computes all figures in float64 from an int64 matrix of `confusion_matrix`."""
        hits = np.diag(matrix).astype(np.float64)
        truth = matrix.sum(axis=1)
        predicted = matrix.sum(axis=0)
        union = truth + predicted - np.diag(matrix)
        present, true = union > 0, truth > 0
        iou = np.divide(hits, union, out=np.full(len(hits), np.nan), where=present)
        accuracy = np.divide(hits, truth, out=np.full(len(hits), np.nan), where=true)
        total = float(truth.sum())
        return cls(
            classes=tuple(
                ClassScore(
                    _or_none(iou[i]),
                    _or_none(accuracy[i]),
                    *(int(counts[i]) for counts in (truth, predicted, np.diag(matrix))),
                )
                for i in range(len(hits))
            ),
            mean_iou=float(iou[present].mean()) if present.any() else None,
            pixel_accuracy=float(hits.sum() / total) if total else None,
            mean_accuracy=float(accuracy[true].mean()) if true.any() else None,
            # sum(share * IoU) could round a perfect score to less than 1, so the division is last.
            frequency_weighted_iou=float((truth * np.nan_to_num(iou)).sum() / total)
            if total
            else None,
        )

    def summary(self) -> dict[str, float | None]:
        """Returns the four figures over all classes, by name."""
        return {
            "mean_iou": self.mean_iou,
            "pixel_accuracy": self.pixel_accuracy,
            "mean_accuracy": self.mean_accuracy,
            "frequency_weighted_iou": self.frequency_weighted_iou,
        }


def _or_none(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)


TITLES = {
    "mean_iou": "mean IoU",
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean accuracy",
    "frequency_weighted_iou": "frequency-weighted IoU",
}
"""The figures of `Scores.summary` in the words of the tables."""


def format_table(
    scores: Scores,
    names: tuple[str, ...],
    boundary_iou: Sequence[float | None] | None = None,
    more: dict[str, float | None] | None = None,
) -> str:
    """Returns the per-class table and the figures over all classes, aligned, in per cent.

    An absent class reads `absent`, a figure without pixels `-`. Recall is the class's accuracy.

    Args:
        scores: the figures.
        names: the names of the classes.
        boundary_iou: the boundary IoU of each class; None leaves the column out.
        more: figures over all classes, 0..1, by title, below those of `scores`.
    """
    head = ["class", "IoU", "boundary IoU", "precision", "recall", "Dice", "true pixels"]
    rows = [
        [
            name,
            percent(score.iou, "absent"),
            percent(boundary_iou[index] if boundary_iou else None, "-"),
            percent(score.precision, "-"),
            percent(score.accuracy, "-"),
            percent(score.dice, "-"),
            f"{score.truth_pixels:,}",
        ]
        for index, (name, score) in enumerate(zip(names, scores.classes, strict=True))
    ]
    table = [head, *rows]
    if boundary_iou is None:
        table = [[*row[:2], *row[3:]] for row in table]
    first, *others = align(table).splitlines()
    rule = "-" * len(first)
    lines = [first, rule, *others, rule]
    summary = {TITLES[key]: value for key, value in scores.summary().items()} | (more or {})
    title_width = max(map(len, summary))
    lines += [
        f"{title:<{title_width}}  {percent(value, '-'):>6}" for title, value in summary.items()
    ]
    return "\n".join(lines)


def percent(share: float | None, otherwise: str) -> str:
    """Returns 0.5 as `50.00`, and None as `otherwise`."""
    return otherwise if share is None else f"{100 * share:.2f}"
