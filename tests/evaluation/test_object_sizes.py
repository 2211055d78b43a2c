import numpy as np

from deeplab_tf.evaluation.object_sizes import (
    GROUPS,
    IOU_UNITS,
    group_names,
    object_counts,
    of_all_objects,
    sizes_to_json,
)
from deeplab_tf.images.classes import VOID, Classes, voc_palette


def pieces(where):
    """The connected sets of pixels, by flood fill."""
    left, found = {tuple(p) for p in np.argwhere(where).tolist()}, []
    while left:
        stack, piece = [left.pop()], set()
        while stack:
            row, column = stack.pop()
            piece.add((row, column))
            around = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= around
            stack += around
        found.append(piece)
    return found


def slow_counts(mask, labels, classes):
    labels = np.where(mask == VOID, VOID, labels)
    counts = np.zeros((classes, GROUPS, 3), np.int64)
    for class_id in range(classes):
        objects, predicted = pieces(mask == class_id), pieces(labels == class_id)
        everything = set().union(*objects)
        for one in objects:
            touching = set().union(*(piece for piece in predicted if piece & one))
            of_it = touching - (everything - one)
            iou = len(one & of_it) / len(one | of_it)
            group = sum(len(one) >= side**2 for side in (8, 16, 32, 64, 128, 256, 512))
            counts[class_id, group] += [1, round(iou * IOU_UNITS), iou >= 0.5]
    return counts


def test_counts_are_those_of_flood_fill():
    rng = np.random.default_rng(1)
    for cell in (1, 3, 9, 20):
        coarse = rng.choice([0, 1, 2, 4, VOID], (60 // cell + 1, 50 // cell + 1)).astype(np.uint8)
        mask = np.kron(coarse, np.ones((cell, cell), np.uint8))[:60, :50]
        labels = np.roll(mask, 2, axis=1) % 5
        labels[rng.random(mask.shape) < 0.05] = 1
        np.testing.assert_array_equal(object_counts(mask, labels, 5), slow_counts(mask, labels, 5))


def test_by_hand():
    # Two squares of 10x10; one prediction covers the left one and the gap of 2 between, and reaches
    # 5 columns into the right one.
    mask, labels = np.zeros((2, 20, 30), np.uint8)
    mask[5:15, 2:12] = mask[5:15, 14:24] = 1
    labels[5:15, 2:19] = 1
    counts = object_counts(mask, labels, 2)
    left, right = 100 / 120, 50 / 120
    assert counts[1].sum(axis=0).tolist()[::2] == [2, 1]
    assert abs(counts[1, 1, 1] / IOU_UNITS - (left + right)) < 2 / IOU_UNITS
    assert sizes_to_json(counts[1]) == [
        {"side": "8-15", "objects": 2, "mean_iou": counts[1, 1, 1] / IOU_UNITS / 2, "found": 0.5}
    ]


def test_background_has_no_objects():
    counts = np.ones((2, GROUPS, 3), np.int64)
    assert (
        of_all_objects(counts, Classes("own", ("background", "cat"), voc_palette(2))).sum()
        == 3 * GROUPS
    )
    assert (
        of_all_objects(counts, Classes("own", ("sky", "cat"), voc_palette(2))).sum() == 6 * GROUPS
    )
    assert group_names() == (
        "<8",
        "8-15",
        "16-31",
        "32-63",
        "64-127",
        "128-255",
        "256-511",
        ">=512",
    )


def test_an_image_of_void_has_no_objects():
    void = np.full((9, 9), VOID, np.uint8)
    assert not object_counts(void, np.zeros_like(void), 3).any()
