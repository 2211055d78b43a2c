"""How well objects are found by their size.

An object is a piece of the truth: pixels of one class that hang together by sides or corners, void
left out. The pixels found for it are those of the predicted pieces of its class that touch it, void
and the truth's other objects of the class left out. The IoU of an object is that of these two sets,
0 where it was missed. A class without instances, as road, has objects too: its pieces. The size of
an object is the side of the square of its area, and the sizes are divided at `SIDES`.
"""

import itertools

import numpy as np
from scipy import ndimage

from deeplab_tf.images.classes import VOID, Classes

SIDES = (8, 16, 32, 64, 128, 256, 512)
"""The sides, in pixels, at which the next larger group of sizes begins."""
GROUPS = len(SIDES) + 1
IOU_UNITS = 1 << 20
"""The units of an IoU of 1, so that sums over objects are exact in any order."""
FOUND_IOU = 0.5
"""The IoU from which an object counts as found."""
_CORNERS = np.ones((3, 3), int)


def group_names() -> tuple[str, ...]:
    """Returns the groups of sizes in words: `<8`, `8-15`, ..., `>=512`."""
    between = [f"{low}-{high - 1}" for low, high in itertools.pairwise(SIDES)]
    return (f"<{SIDES[0]}", *between, f">={SIDES[-1]}")


def object_counts(mask: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts the objects of an image by class and size; the counts of several images add up.

    Args:
        mask: the ground truth, uint8 [H, W] of classes and `VOID`.
        labels: the prediction, uint8 [H, W].
        num_classes: the number of classes.

    Returns:
        int64 [num_classes, GROUPS, 3]: the number of objects, the sum of their IoUs in `IOU_UNITS`,
        and the number of those with an IoU of at least `FOUND_IOU`.
    """
    counts = np.zeros((num_classes, GROUPS, 3), np.int64)
    predicted = np.where(mask == VOID, VOID, labels)
    # The boxes are of 1 + class, since `find_objects` leaves 0 out; void wraps around to 0.
    boxes = ndimage.find_objects(mask + np.uint8(1), num_classes)
    boxes_predicted = ndimage.find_objects(predicted + np.uint8(1), num_classes)
    for class_id, (box, other) in enumerate(zip(boxes, boxes_predicted, strict=True)):
        if box is None:
            continue
        both = box if other is None else tuple(map(_around, box, other))
        areas, iou = _of_class(mask[both] == class_id, predicted[both] == class_id)
        groups = np.searchsorted(np.square(SIDES), areas, side="right")
        units = np.round(iou * IOU_UNITS).astype(np.int64)
        np.add.at(
            counts[class_id],
            groups,
            np.stack([np.ones_like(units), units, iou >= FOUND_IOU], axis=-1),
        )
    return counts


def _around(one: slice, other: slice) -> slice:
    return slice(min(one.start, other.start), max(one.stop, other.stop))


def _of_class(truth: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the area and the IoU of each object, int64 [N] and float64 [N].

    Args:
        truth, predicted: where one class is, bool [H, W].
    """
    objects, count = _pieces(truth)
    pieces, piece_count = _pieces(predicted)
    both = truth & predicted
    areas = np.bincount(objects[truth], minlength=count + 1)
    hits = np.bincount(objects[both], minlength=count + 1)
    # Each pair of an object and a piece that touch, once. Neighbours in a row mostly have one pair,
    # so few are left to sort.
    pairs = objects[both].astype(np.int64) * (piece_count + 1) + pieces[both]
    pairs = np.unique(pairs[np.diff(pairs, prepend=-1) != 0])
    # Pixels of a piece outside all objects of the class.
    beyond = np.bincount(pieces[predicted & ~truth], minlength=piece_count + 1)
    touched, touching = np.divmod(pairs, piece_count + 1)
    wrong = np.bincount(touched, weights=beyond[touching], minlength=count + 1)
    return areas[1:], hits[1:] / (areas + wrong)[1:]


def _pieces(where: np.ndarray) -> tuple[np.ndarray, int]:
    """Returns the number of each pixel's piece, from 1, 0 outside, and the number of pieces."""
    pieces = np.zeros(where.shape, np.int32)
    return pieces, int(np.asarray(ndimage.label(where, _CORNERS, output=pieces)))


def of_all_objects(counts: np.ndarray, classes: Classes) -> np.ndarray:
    """Returns the sum over the classes of `object_counts`, int64 [GROUPS, 3].

    The background is left out where there is one, since its pieces are no objects.
    """
    return counts[1 if classes.has_background else 0 :].sum(axis=0)


def sizes_to_json(counts: np.ndarray) -> list[dict]:
    """Returns counts [GROUPS, 3] as the groups of `eval.json`, those without objects left out."""
    return [
        {
            "side": name,
            "objects": int(objects),
            "mean_iou": units / IOU_UNITS / objects,
            "found": found / objects,
        }
        for name, (objects, units, found) in zip(group_names(), counts.tolist(), strict=True)
        if objects
    ]
