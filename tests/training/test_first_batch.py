"""What is said of the first batch and its loss, and whether one batch can be learnt by heart."""

import numpy as np
import pytest
from support.train_processes import small

from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import SHAPES, VOC
from deeplab_tf.training import overfit
from deeplab_tf.training.first_batch import describe_batch, describe_first_loss
from deeplab_tf.training.stages import train


def test_the_batch_in_one_line():
    images = np.full((2, 4, 5, 3), 7.0)
    images[0, 0, 0] = 200
    masks = np.zeros((2, 4, 5), np.uint8)
    masks[0, 0] = 20
    masks[1, :2] = 255
    assert describe_batch(images, masks, VOC) == (
        "first batch: 2 images of 5x4, 2 of 21 classes, 25.0% void, pixels 7 to 200"
    )
    assert "teaches nothing" in describe_batch(images, np.full_like(masks, 255), VOC)


def test_a_label_outside_the_classes_is_refused():
    masks = np.full((1, 3, 3), 6, np.uint8)
    with pytest.raises(DeeplabError, match="label 6, but shapes has the classes 0 to 5 and 255"):
        describe_batch(np.zeros((1, 3, 3, 3)), masks, SHAPES)


@pytest.mark.parametrize(
    ("loss", "fresh", "noted"),
    [
        (3.04, True, False),
        (1.6, True, False),
        (1.4, True, True),
        (6.2, True, True),
        (0.3, False, False),
        (float("nan"), True, True),
    ],
)
def test_a_first_loss_far_from_guessing_is_noted_for_random_weights(loss, fresh, noted):
    text = describe_first_loss(loss, 21, fresh)
    assert "guessing costs ln(21) = 3.04" in text
    assert ("note:" in text) is noted


def test_a_training_says_both_before_its_second_step_and_never_again(shapes_data, tmp_path, capsys):
    train(small(steps=2, log_every=1), shapes_data, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    first = next(
        i for i, line in enumerate(lines) if line.startswith("first batch: 4 images of 33")
    )
    assert lines[first + 1].startswith("first loss: ") and "ln(6) = 1.79" in lines[first + 1]
    assert lines[first + 2].startswith("step 1/2")
    assert sum(line.startswith("first") for line in lines) == 2


def test_one_batch_is_learnt_and_nothing_written(shapes_data, tmp_path, capsys):
    workdir = tmp_path / "run"
    experiment = small(evaluate_every=1, keep="best")
    experiment.evaluate.split = "train"  # nothing is evaluated here
    assert 1 < overfit.overfit_one_batch(experiment, shapes_data, workdir) <= overfit.MAX_STEPS
    assert "learnt: cross entropy 0." in capsys.readouterr().out
    assert not workdir.exists()


def test_one_batch_that_cannot_be_learnt_is_an_error(shapes_data, tmp_path, monkeypatch):
    monkeypatch.setattr(overfit, "MAX_STEPS", 30)
    with pytest.raises(DeeplabError, match=r"not learnt: .* instead of 0\.18 after 30 steps"):
        overfit.overfit_one_batch(small(base_learning_rate=1e-9), shapes_data, tmp_path / "run")
