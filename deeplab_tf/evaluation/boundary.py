"""Boundary IoU (Cheng et al., arXiv 2103.16562): the overlap of what lies near the contours.

The boundary region of a class in a map is the part of the class within `distance` pixels of its
contour. The border of the image is a contour, as in the authors' code, and distances are those of a
square: a pixel is in the region where the square of 2 * distance + 1 pixels a side around it has a
pixel that is not of the class. Boundary IoU is intersection over union of the regions in truth and
prediction; over several images, intersections and unions add up, as those of IoU do.

Void pixels of the truth are taken out of both maps, so the edge of void is a contour in both: a
prediction that is right wherever the truth is known scores 1.
"""

from collections.abc import Sequence

import numpy as np

from deeplab_tf.images.classes import VOID

SHARE = 0.02
"""The distance as a share of the image's diagonal, that of the paper."""


def boundary_distance(height: int, width: int) -> int:
    """Returns the distance in pixels that counts as near in an image of this size; at least 1."""
    return max(1, round(SHARE * float(np.hypot(height, width))))


def boundary_counts(mask: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts the pixels of the boundary regions of every class.

    Args:
        mask: the ground truth, uint8 [H, W] of classes and `VOID`.
        labels: the prediction, uint8 [H, W]; anything where `mask` is `VOID`.
        num_classes: the number of classes.

    Returns:
        int64 [num_classes, 3]: the intersection of both regions, the region in the truth, and the
        region in the prediction.
    """
    distance = boundary_distance(*mask.shape)
    known = mask != VOID
    labels = np.where(known, labels, VOID)
    in_truth = known & near_contour(mask, distance)
    in_prediction = known & near_contour(labels, distance)
    both = in_truth & in_prediction & (mask == labels)
    regions = (mask[both], mask[in_truth], labels[in_prediction])
    counts = [np.bincount(region, minlength=num_classes) for region in regions]
    return np.stack(counts, axis=-1).astype(np.int64)


def near_contour(labels: np.ndarray, distance: int) -> np.ndarray:
    """Returns where the square around a pixel has another label or leaves the image, bool [H, W].

    The time does not depend on `distance`, nor on the number of labels.

    Args:
        labels: integers [H, W].
        distance: half the side of the square, without the pixel itself.
    """
    height, width = labels.shape
    near = np.ones((height, width), bool)
    if min(height, width) <= 2 * distance:
        return near
    # A square has one label where each of its rows has, and its middle column too. The running
    # counts wrap around at 2**16, and their differences, of far fewer pixels, are right.
    steps = np.zeros((height, width), np.uint16)
    np.cumsum(labels[:, 1:] != labels[:, :-1], axis=1, dtype=np.uint16, out=steps[:, 1:])
    mixed_row = steps[:, 2 * distance :] != steps[:, : width - 2 * distance]
    rows = np.zeros((height + 1, mixed_row.shape[1]), np.uint16)
    np.cumsum(mixed_row, axis=0, dtype=np.uint16, out=rows[1:])
    middle = labels[:, distance : width - distance]
    steps = np.zeros(middle.shape, np.uint16)
    np.cumsum(middle[1:] != middle[:-1], axis=0, dtype=np.uint16, out=steps[1:])
    inside = near[distance : height - distance, distance : width - distance]
    inside[:] = rows[2 * distance + 1 :] != rows[: height - 2 * distance]
    inside |= steps[2 * distance :] != steps[: height - 2 * distance]
    return near


def boundary_iou(counts: np.ndarray) -> tuple[float | None, ...]:
    """Returns the boundary IoU of each class, 0..1, by the sum of `boundary_counts`.

    None stands for a class that is in neither map.
    """
    return tuple(
        both / (truth + predicted - both) if truth + predicted else None
        for both, truth, predicted in counts.tolist()
    )


def mean_of_present(iou: Sequence[float | None]) -> float | None:
    """Returns the mean over the classes that are not None; None where all are."""
    present = [value for value in iou if value is not None]
    return sum(present) / len(present) if present else None
