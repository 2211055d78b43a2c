import json

import numpy as np
import pytest

from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.confusion import Scores, confusion_matrix, format_table


def test_counts_written_by_hand():
    truth = np.array([[0, 0, 1], [1, 255, 2]], np.uint8)
    prediction = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)
    matrix = confusion_matrix(truth, prediction, 3)
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix, [[1, 1, 0], [0, 2, 0], [1, 0, 0]])


def test_scores_written_by_hand():
    scores = Scores.from_matrix(np.array([[1, 1, 0], [0, 2, 0], [1, 0, 0]]))
    assert [c.iou for c in scores.classes] == [1 / 3, 2 / 3, 0.0]
    assert [c.accuracy for c in scores.classes] == [0.5, 1.0, 0.0]
    assert [c.truth_pixels for c in scores.classes] == [2, 2, 1]
    assert [c.predicted_pixels for c in scores.classes] == [2, 3, 0]
    assert scores.mean_iou == pytest.approx(1 / 3, abs=1e-15)
    assert scores.pixel_accuracy == 3 / 5
    assert scores.mean_accuracy == 0.5
    assert scores.frequency_weighted_iou == pytest.approx((2 / 3 + 4 / 3 + 0) / 5, abs=1e-15)


def test_equals_a_loop_over_pixels():
    rng = np.random.default_rng(3)
    truth = rng.choice([0, 1, 2, 3, 255], (17, 23)).astype(np.uint8)
    prediction = rng.integers(0, 5, (17, 23)).astype(np.uint8)
    scores = Scores.from_matrix(confusion_matrix(truth, prediction, 5))
    ious = []
    for label in range(5):
        both = either = 0
        for t, p in zip(truth.flat, prediction.flat, strict=True):
            if t != 255:
                both += t == label and p == label
                either += t == label or p == label
        ious.append(both / either)
    assert [c.iou for c in scores.classes] == pytest.approx(ious, abs=1e-15)
    assert ious[4] == 0  # predicted, never true: counts as 0, not as absent
    assert scores.mean_iou == pytest.approx(sum(ious) / 5, abs=1e-15)


def test_precision_recall_and_dice_by_hand():
    scores = Scores.from_matrix(np.array([[6, 2, 0], [1, 1, 0], [0, 0, 0]]))
    found = [(c.precision, c.accuracy, c.dice) for c in scores.classes]
    assert found[0] == (6 / 7, 6 / 8, 12 / 15)
    assert found[1] == (1 / 3, 1 / 2, 2 / 5)
    assert found[2] == (None, None, None)
    iou = [scores.classes[i].iou for i in (0, 1)]
    assert [d for _, _, d in found[:2]] == pytest.approx([2 * i / (1 + i) for i in iou])
    lines = format_table(scores, ("a", "b", "c"), (0.5, None, None), {"more": 0.25}).splitlines()
    assert lines[0].split() == "class IoU boundary IoU precision recall Dice true pixels".split()
    assert lines[2].split() == ["a", "66.67", "50.00", "85.71", "75.00", "80.00", "8"]
    assert lines[4].split() == ["c", "absent", "-", "-", "-", "-", "0"]
    assert lines[-1] == "more                     25.00"


def test_absent_class_does_not_count():
    scores = Scores.from_matrix(np.diag([5, 0, 7]))
    assert scores.classes[1].iou is None
    assert scores.classes[1].accuracy is None
    assert scores.mean_iou == 1.0
    table = format_table(scores, ("sky", "road", "car"))
    assert [line.split()[:2] for line in table.splitlines()[2:5]] == [
        ["sky", "100.00"],
        ["road", "absent"],
        ["car", "100.00"],
    ]


def test_class_only_predicted_is_zero_and_has_no_accuracy():
    scores = Scores.from_matrix(np.array([[3, 1], [0, 0]]))
    assert scores.classes[1].iou == 0.0
    assert scores.classes[1].accuracy is None
    assert scores.mean_iou == 0.375
    assert scores.mean_accuracy == 0.75


def test_perfect_is_exactly_one():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 21, (333, 77)).astype(np.uint8)
    scores = Scores.from_matrix(confusion_matrix(truth, truth, 21))
    assert set(scores.summary().values()) == {1.0}


def test_nothing_but_void_has_no_figures():
    truth = np.full((2, 2), 255, np.uint8)
    scores = Scores.from_matrix(confusion_matrix(truth, np.zeros_like(truth), 2))
    assert json.dumps(scores.summary(), allow_nan=False).count("null") == 4
    assert "absent" in format_table(scores, ("a", "b"))


def test_counts_do_not_overflow_float32():
    scores = Scores.from_matrix(np.array([[2**40 + 1, 1], [0, 2**40]], np.int64))
    assert scores.pixel_accuracy == (2**41 + 1) / (2**41 + 2)


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        ([[0, 1]], [[0, 2]], "the prediction has label 2 at row 0, column 1; classes are 0..1"),
        ([[0, 1]], [[255, 1]], "the prediction has label 255 at row 0, column 0"),
        ([[0], [9]], [[0], [0]], "the truth has label 9 at row 1, column 0"),
        ([[0, 1]], [[0]], "must have one size. Received: 2x1 and 1x1"),
    ],
)
def test_bad_labels_are_named(truth, prediction, message):
    with pytest.raises(DeeplabError, match=message.replace(".", r"\.")):
        confusion_matrix(np.array(truth, np.uint8), np.array(prediction, np.uint8), 2)


def test_table_is_aligned():
    scores = Scores.from_matrix(np.array([[123456, 1], [2, 3]]))
    lines = format_table(scores, ("a very long class name", "b")).splitlines()
    assert len({len(line) for line in lines[:5]}) == 1
    assert lines[2].split()[-1] == "123,457"
