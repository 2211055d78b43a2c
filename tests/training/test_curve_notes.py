"""What is said of a run's curves, on hand-made curves."""

import math

import numpy as np
import pytest

from deeplab_tf.config import DataConfig, Experiment, Keep, TrainConfig
from deeplab_tf.images.confusion import Scores
from deeplab_tf.runs.validations import Validation
from deeplab_tf.training.curve_notes import never_found_note, overfitting_note, training_losses


def history(*mious):
    return [Validation(10 * n, m, 1.0, {}) for n, m in enumerate(mious, start=1)]


ANY = Experiment()
FALLING_LOSS = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4]


@pytest.mark.parametrize(
    ("mious", "losses", "said"),
    [
        ((0.5, 0.6, 0.55, 0.54, 0.53), FALLING_LOSS[:5], True),
        ((0.5, 0.6, 0.55, 0.54), FALLING_LOSS[:4], False),  # two evaluations may be noise
        ((0.5, 0.6, 0.55, 0.595, 0.53), FALLING_LOSS[:5], False),  # one is near the best
        ((0.5, 0.6, 0.55, 0.54, 0.53), [1.0, 0.9, 0.9, 0.9, 0.95], False),  # it diverges
        ((0.5, 0.6, 0.595, 0.594, 0.593), FALLING_LOSS[:5], False),  # it has converged
        ((0.1, 0.2, 0.3, 0.4, 0.5), FALLING_LOSS[:5], False),
        ((0.5, 0.6, 0.55, 0.54, 0.53), [1.0, math.nan, 0.8, 0.7, 0.6], False),
        ((), [], False),
    ],
)
def test_overfitting_is_said_where_val_falls_and_the_loss_falls(mious, losses, said):
    assert (overfitting_note(history(*mious), losses, "val", ANY) is not None) is said


def test_the_line_on_overfitting_has_both_curves_and_comes_once():
    mious = (0.5, 0.6, 0.55, 0.54, 0.53, 0.52, 0.51)
    lines = [
        overfitting_note(history(*mious[:count]), FALLING_LOSS[:count], "val", ANY)
        for count in range(1, len(mious) + 1)
    ]
    (line,) = filter(None, lines)
    assert lines.index(line) == 4 and "\n" not in line
    assert "mean IoU on val fell from 60.00 at step 20 to 53.00" in line
    assert "cross entropy fell from 0.9000 to 0.6000" in line


MORE = "more images or augmentation help"


@pytest.mark.parametrize(
    ("train", "advice"),
    [
        (
            TrainConfig(),
            f"train.keep=best keeps the best weights, train.patience stops earlier, and {MORE}",
        ),
        (TrainConfig(keep=Keep.BEST), f"train.patience stops earlier, and {MORE}"),
        (TrainConfig(patience=9), f"train.keep=best keeps the best weights, and {MORE}"),
        (TrainConfig(keep=Keep.BEST, patience=9), MORE),
    ],
)
def test_what_is_done_against_overfitting_is_not_advised(train, advice):
    line = overfitting_note(
        history(0.5, 0.6, 0.55, 0.54, 0.53), FALLING_LOSS[:5], "val", Experiment(train=train)
    )
    assert line.endswith(f"0.6000; {advice}")


@pytest.mark.parametrize(
    ("class_weights", "data", "advice"),
    [
        ("none", {}, "train.class_weights=auto, data.balance=0.1 or more images of them"),
        ("auto", {}, "data.balance=0.1 or more images of them"),
        ("none", {"balance": 0.2}, "train.class_weights=auto or more images of them"),
        ("w.json", {"duplicate_classes": ("a",)}, "more images of them"),
    ],
)
def test_what_is_done_for_rare_classes_is_not_advised(class_weights, data, advice):
    experiment = Experiment(train=TrainConfig(class_weights=class_weights), data=DataConfig(**data))
    scores = Scores.from_matrix(np.array([[1, 0], [1, 0]]))
    line = never_found_note(scores, "ab", 30, "val", experiment)
    assert line.endswith(f"truth: b; if that stays so, {advice} may help")


def test_the_training_loss_is_the_mean_since_the_evaluation_before():
    rows = [
        {"step": 5, "cross_entropy": 4.0},
        {"step": 10, "cross_entropy": 2.0},
        {"step": 10, "val_mean_iou": 0.5, "val_loss": 9.0},
        {"step": 15, "cross_entropy": None},
        {"step": 20, "cross_entropy": 1.0},
        {"step": 35, "cross_entropy": 0.5},
    ]
    assert training_losses(history(0.1, 0.2), rows) == [3.0, 1.0]
    assert np.isnan(training_losses(history(0.1, 0.2, 0.3), rows)[2])


def test_a_class_of_the_truth_that_is_never_found_is_named():
    # Class b is in the truth and never found, c only in the predictions, d nowhere.
    matrix = np.zeros((4, 4), np.int64)
    matrix[0] = [5, 0, 2, 0]
    matrix[1] = [3, 0, 0, 0]
    line = never_found_note(Scores.from_matrix(matrix), "abcd", 30, "val", ANY)
    assert line.startswith("note: IoU 0 on val at step 30 for 1 of the 2 classes of its truth: b;")
    matrix[1, 1] = 1
    assert never_found_note(Scores.from_matrix(matrix), "abcd", 30, "val", ANY) is None


def test_many_classes_that_are_never_found_are_one_line():
    matrix = np.zeros((9, 9), np.int64)
    matrix[:, 0] = 1
    line = never_found_note(Scores.from_matrix(matrix), "abcdefghi", 30, "val", ANY)
    assert "for 8 of the 9 classes of its truth: b, c, d, e, f and 3 more;" in line
