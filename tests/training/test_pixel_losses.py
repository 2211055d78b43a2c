"""Weighted cross entropy, focal and hard example mining against numpy in float64."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from support.loss_cases import (
    VOID,
    numeric_gradient,
    probabilities,
    random_case,
    true_probabilities,
    value_and_gradient,
)

from deeplab_tf.training.loss import mean_cross_entropy
from deeplab_tf.training.pixel_losses import hardest, pixel_loss

WEIGHTS = [0.5, 2.0, 0.0, 7.5]


def expected_loss(mask, logits, weights=(1, 1, 1, 1), gamma=0.0, share=1.0, smoothing=0.0):
    """The loss in numpy, pixel by pixel."""
    truth, p = true_probabilities(mask, logits)
    weight = np.array(weights, np.float64)[truth]
    loss = (1 - p) ** gamma * -np.log(p)
    of_all = -np.log(probabilities(logits)[mask != VOID]).mean(-1)
    loss = weight * ((1 - smoothing) * loss + smoothing * of_all)
    counted = np.flatnonzero(weight)
    kept = counted[np.argsort(-loss[counted])][: int(np.ceil(share * len(counted)))]
    return loss[kept].sum() / weight[kept].sum()


@pytest.mark.parametrize(
    "options",
    [
        {"class_weights": WEIGHTS},
        {"focal_gamma": 2.0},
        {"focal_gamma": 0.5, "class_weights": WEIGHTS},
        {"ohem_share": 0.2},
        {"ohem_share": 0.37, "focal_gamma": 2.0, "class_weights": WEIGHTS},
        {"label_smoothing": 0.1},
        {"label_smoothing": 0.9, "class_weights": WEIGHTS, "ohem_share": 0.4},
        {},
    ],
    ids=str,
)
def test_value_and_gradient_equal_float64(options):
    mask, logits = random_case()
    names = {
        "class_weights": "weights",
        "focal_gamma": "gamma",
        "ohem_share": "share",
        "label_smoothing": "smoothing",
    }
    expected = functools.partial(
        expected_loss, **{names[option]: value for option, value in options.items()}
    )
    value, gradient = value_and_gradient(pixel_loss(**options), mask, logits)
    assert value == pytest.approx(expected(mask, logits), rel=2e-6)
    places = list(np.ndindex(logits.shape))[::7]
    np.testing.assert_allclose(
        [gradient[place] for place in places],
        numeric_gradient(expected, mask, logits, places),
        atol=2e-7,  # gradients are about 1 / 200 pixels, float32 keeps 7 digits of them
    )


def test_focal_with_gamma_0_is_cross_entropy():
    mask, logits = random_case()
    cross_entropy = mean_cross_entropy(tf.constant(mask), tf.constant(logits))["cross_entropy"]
    assert pixel_loss(focal_gamma=0.0)(mask, logits).numpy() == pytest.approx(
        cross_entropy.numpy(), rel=1e-6
    )


def test_two_pixels_by_hand():
    # Probabilities 1/4 and 3/4 of class 0; the pixels are of classes 0 and 1.
    logits = tf.math.log(tf.constant([[[[0.25, 0.75], [0.25, 0.75]]]]))
    mask = tf.constant([[[0, 1]]])
    rare, common = -np.log(0.25), -np.log(0.75)
    for options, expected in (
        ({"class_weights": [3.0, 1.0]}, (3 * rare + common) / 4),
        ({"focal_gamma": 2.0}, (0.75**2 * rare + 0.25**2 * common) / 2),
        ({"ohem_share": 0.5}, rare),
        ({"label_smoothing": 0.2}, (rare + common) / 2),  # half of the pixels are of either class
        ({"label_smoothing": 0.2, "ohem_share": 0.5}, 0.9 * rare + 0.1 * common),
        ({"ohem_share": 0.51}, (rare + common) / 2),
        ({"ohem_share": 0.5, "class_weights": [1.0, 9.0]}, common),  # 2.59 against 1.39
    ):
        assert pixel_loss(**options)(mask, logits).numpy() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("gamma", [0.25, 1.0, 2.0])
@pytest.mark.parametrize("logit", [0.0, 20.0, 200.0, -200.0])
def test_focal_is_finite_for_certain_networks(gamma, logit):
    loss = pixel_loss(focal_gamma=gamma)
    value, gradient = value_and_gradient(
        loss, np.zeros((1, 1, 1), np.uint8), np.array([[[[logit, 0]]]], np.float32)
    )
    assert np.isfinite(value) and np.isfinite(gradient).all()


@pytest.mark.parametrize("share", [1e-6, 0.1, 0.5, 0.999, 1.0])
def test_exactly_the_hardest_pixels_are_chosen(share):
    rng = np.random.default_rng(1)
    # Over all of float32's range, zero included.
    losses = rng.permutation(
        np.concatenate([[0.0, 1e-38, 3e38], 10.0 ** rng.uniform(-30, 30, 997)]).astype(np.float32)
    ).reshape(20, 50)
    valid = rng.random(losses.shape) < 0.6
    chosen = hardest(tf.constant(losses), tf.constant(valid), share).numpy()
    count = int(np.ceil(share * valid.sum()))
    expected = valid & (losses >= np.sort(losses[valid])[-count])
    np.testing.assert_array_equal(chosen, expected)
    assert chosen.sum() == count


def test_equal_losses_are_chosen_together():
    losses = tf.constant([0.0, 2.0, 1.0, 1.0, -0.0, 1.0])
    valid = tf.constant([True, True, True, True, True, False])
    assert hardest(losses, valid, 0.4).numpy().tolist() == [0, 1, 1, 1, 0, 0]
    assert hardest(losses, valid, 0.8).numpy().tolist() == [1, 1, 1, 1, 1, 0]


def test_a_class_of_weight_0_is_left_out_as_void_is():
    mask, logits = random_case()
    as_void = np.where(mask == 2, VOID, mask).astype(np.uint8)
    for share in (1.0, 0.3):
        a = pixel_loss(class_weights=[1.0, 1.0, 0.0, 1.0], ohem_share=share)(mask, logits)
        b = pixel_loss(ohem_share=share)(as_void, logits)
        assert a.numpy() == b.numpy()
