import numpy as np
import pytest
from scipy import ndimage

from deeplab_tf.evaluation.boundary import (
    boundary_counts,
    boundary_distance,
    boundary_iou,
    mean_of_present,
    near_contour,
)
from deeplab_tf.images.classes import VOID


def slow_counts(mask, labels, classes):
    """The paper's definition by erosions of each class, one step of 3x3 a pixel of distance."""
    distance = max(1, round(0.02 * (mask.shape[0] ** 2 + mask.shape[1] ** 2) ** 0.5))
    labels = np.where(mask == VOID, VOID, labels)

    def region(where):
        inner = ndimage.binary_erosion(where, np.ones((3, 3)), distance, border_value=0)
        return where & ~inner

    rows = []
    for class_id in range(classes):
        truth, found = region(mask == class_id), region(labels == class_id)
        rows.append([(truth & found).sum(), truth.sum(), found.sum()])
    return np.array(rows)


@pytest.mark.parametrize("size", [(60, 90), (9, 200), (150, 37), (1, 1), (2, 50)])
def test_counts_are_those_of_erosions(size):
    rng = np.random.default_rng(size[0])
    coarse = rng.choice([0, 1, 2, 3, VOID], (7, 6)).astype(np.uint8)
    rows, columns = (np.arange(n) * k // n for n, k in zip(size, (7, 6), strict=True))
    mask = coarse[rows][:, columns]
    labels = np.roll(mask, (2, 3), (0, 1)) % 5
    labels[rng.random(size) < 0.01] = 1
    found = boundary_counts(mask, labels, 5)
    np.testing.assert_array_equal(found, slow_counts(mask, labels, 5))
    assert found.dtype == np.int64


def test_by_hand():
    # A square of 5x5 whose prediction is one column to the right, in an image with a distance of 1.
    mask = np.zeros((20, 20), np.uint8)
    mask[5:10, 5:10] = 1
    labels = np.roll(mask, 1, axis=1)
    assert boundary_distance(20, 20) == 1
    # Rings of 16 pixels; they share 4 + 4 of the two rows of 5, and nothing of the columns.
    assert boundary_counts(mask, labels, 2)[1].tolist() == [8, 16, 16]
    assert boundary_iou(np.array([[8, 16, 16], [0, 0, 0], [0, 0, 3]])) == (8 / 24, None, 0.0)
    assert mean_of_present((0.5, None, 0.0)) == 0.25 and mean_of_present((None,)) is None


def test_what_is_right_outside_void_is_wholly_right():
    mask = np.zeros((50, 70), np.uint8)
    mask[10:30, 10:40] = 1
    mask[25:45, 20:60] = VOID
    labels = np.where(mask == VOID, 1, mask)  # the object goes on into the void
    counts = boundary_counts(mask, labels, 2)
    assert (counts[:, 0] == counts[:, 1]).all() and (counts[:, 0] == counts[:, 2]).all()
    assert counts[1, 0] > 0


def test_the_distance_is_two_per_cent_of_the_diagonal():
    assert [boundary_distance(*size) for size in ((300, 400), (1024, 2048), (5, 5))] == [10, 46, 1]


def test_many_label_changes_in_a_row_do_not_overflow():
    # 70,000 changes in a row are more than 16 bits count.
    stripes = np.tile(np.array([0, 1], np.uint8), (5, 35_000))
    stripes[:, 60_000:] = 0
    near = near_contour(stripes, 1)
    assert near[2, :60_000].all() and not near[2, 60_001:-1].any()
