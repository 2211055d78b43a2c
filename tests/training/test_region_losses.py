"""Dice and Lovász-Softmax against their definitions in numpy, float64."""

import numpy as np
import pytest
import tensorflow as tf
from support.loss_cases import (
    CLASSES,
    VOID,
    numeric_gradient,
    probabilities,
    random_case,
    value_and_gradient,
)

from deeplab_tf.training.region_losses import dice_loss, lovasz_softmax_loss


def expected_dice(mask, logits):
    p, valid = probabilities(logits), mask != VOID
    losses = []
    for c in np.unique(mask[valid]):
        truth = mask[valid] == c
        predicted = p[valid][:, c]
        losses.append(1 - 2 * (predicted * truth).sum() / (predicted.sum() + truth.sum()))
    return np.mean(losses)


def jaccard_loss(wrong, truth):
    """1 - Jaccard of a class's region when the set of pixels `wrong` is mistaken."""
    return 1 - (truth & ~wrong).sum() / (truth | wrong).sum()


def lovasz_extension(errors, truth):
    """Definition 1 of Berman et al.: with errors falling, the sum of the i-th error times what the
    i-th pixel adds to the set function, here by evaluating it on every prefix."""
    order = np.argsort(-errors, kind="stable")
    wrong = np.zeros(len(errors), bool)
    value, before = 0.0, 0.0
    for pixel in order:
        wrong[pixel] = True
        after = jaccard_loss(wrong, truth)
        value += errors[pixel] * (after - before)
        before = after
    return value


def expected_lovasz(mask, logits):
    of_images = []
    for image_mask, p in zip(mask, probabilities(logits), strict=True):
        valid = image_mask != VOID
        classes = np.unique(image_mask[valid])
        if len(classes):
            of_images.append(
                np.mean(
                    [
                        lovasz_extension(
                            np.abs((image_mask[valid] == c) - p[valid][:, c]),
                            image_mask[valid] == c,
                        )
                        for c in classes
                    ]
                )
            )
    return np.mean(of_images)


def cases():
    mask, logits = random_case()
    yield mask, logits
    mask = mask.copy()
    mask[1] = VOID  # an image without a pixel
    yield mask, logits


@pytest.mark.parametrize("case", cases(), ids=["void", "an image is void"])
@pytest.mark.parametrize(
    ("loss", "expected"), [(dice_loss, expected_dice), (lovasz_softmax_loss, expected_lovasz)]
)
def test_value_and_gradient_equal_float64(loss, expected, case):
    mask, logits = case
    value, gradient = value_and_gradient(loss, mask, logits)
    assert value == pytest.approx(expected(mask, logits), rel=2e-6)
    places = list(np.ndindex(logits.shape))[::23]
    np.testing.assert_allclose(
        [gradient[place] for place in places],
        numeric_gradient(expected, mask, logits, places),
        atol=2e-7,  # as of the pixel losses
    )


def test_of_hard_predictions_lovasz_is_1_minus_jaccard_and_dice_1_minus_dice():
    rng = np.random.default_rng(2)
    mask = rng.integers(0, CLASSES, (2, 8, 8)).astype(np.uint8)
    guess = np.where(rng.random(mask.shape) < 0.4, rng.integers(0, CLASSES, (2, 8, 8)), mask)
    mask[:, :2] = VOID
    logits = 200 * np.eye(CLASSES, dtype=np.float32)[guess]
    valid = mask != VOID
    jaccards, dices = np.zeros((2, CLASSES)), np.zeros(CLASSES)
    for c in range(CLASSES):
        a, b = (mask == c) & valid, (guess == c) & valid
        jaccards[:, c] = (a & b).sum((1, 2)) / (a | b).sum((1, 2))
        dices[c] = 2 * (a & b).sum() / (a.sum() + b.sum())
    assert lovasz_softmax_loss(mask, logits).numpy() == pytest.approx(1 - jaccards.mean())
    assert dice_loss(mask, logits).numpy() == pytest.approx(1 - dices.mean())


def test_lovasz_keeps_its_digits_over_many_pixels():
    # A difference of two neighbouring Jaccards would have 2 digits left of 7 here.
    rng = np.random.default_rng(3)
    mask = (rng.random((1, 200, 300)) < 0.3).astype(np.uint8)
    logits = rng.normal(size=(1, 200, 300, 2)).astype(np.float32)
    p = probabilities(logits)[0]
    expected = []
    for c in (0, 1):
        truth = mask.ravel() == c
        errors = np.abs(truth - p[..., c].ravel())
        order = np.argsort(-errors)
        jaccards = 1 - (truth.sum() - np.cumsum(truth[order])) / (
            truth.sum() + np.cumsum(~truth[order])
        )
        expected.append((errors[order] * np.diff(jaccards, prepend=0)).sum())
    found = lovasz_softmax_loss(mask, logits).numpy()
    assert found == pytest.approx(np.mean(expected), rel=2e-6)


@pytest.mark.parametrize("loss", [dice_loss, lovasz_softmax_loss])
def test_a_right_and_certain_network_has_no_loss(loss):
    mask = tf.constant([[[0, 1], [2, 255]]], tf.uint8)
    logits = 200.0 * tf.one_hot(tf.cast(mask, tf.int32), CLASSES)
    assert loss(mask, logits).numpy() == pytest.approx(0, abs=1e-6)
