"""Cross entropy and weight decay against numpy in float64; what holds of every loss."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.loss_cases import VOID, random_case, value_and_gradient

from deeplab_tf.config import Loss, TrainConfig
from deeplab_tf.training.loss import (
    make_data_loss,
    mean_cross_entropy,
    weight_decay_loss,
)
from deeplab_tf.training.pixel_losses import CROSS_ENTROPY, pixel_loss
from deeplab_tf.training.region_losses import dice_loss, lovasz_softmax_loss

WEIGHTS = [0.5, 2.0, 1.0, 7.5]
LOSSES = {
    "cross entropy": make_data_loss(TrainConfig()),
    "weighted": make_data_loss(TrainConfig(), WEIGHTS),
    "hard examples": make_data_loss(TrainConfig(ohem_share=0.25)),
    "focal": make_data_loss(TrainConfig(loss=Loss.FOCAL, focal_gamma=0.5, ohem_share=0.5), WEIGHTS),
    "smooth": make_data_loss(TrainConfig(label_smoothing=0.1)),
    "dice": make_data_loss(TrainConfig(loss=Loss.DICE)),
    "lovasz": make_data_loss(TrainConfig(loss=Loss.LOVASZ)),
    "weighted dice": make_data_loss(TrainConfig(loss=Loss.DICE, ohem_share=0.5), WEIGHTS),
}


def minimised(name):
    """The loss of `LOSSES` as a function of mask and logits."""

    def loss(mask, logits):
        shares = LOSSES[name](mask, logits)
        return shares.get("data_loss", shares["cross_entropy"])

    return loss


def test_cross_entropy_equals_float64_numpy_and_leaves_void_out():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 5, 7, 4)).astype(np.float32) * 3
    mask = rng.integers(0, 4, (2, 5, 7)).astype(np.uint8)
    mask[rng.random(mask.shape) < 0.3] = 255
    wide = logits.astype(np.float64)
    log_softmax = wide - np.log(np.exp(wide).sum(-1, keepdims=True))
    expected = -sum(
        log_softmax[index][label] for index, label in np.ndenumerate(mask) if label != 255
    )

    ints = tf.constant(mask, tf.int32)
    total = CROSS_ENTROPY.total(ints, tf.constant(logits))

    assert CROSS_ENTROPY.weight(ints).numpy() == (mask != 255).sum()
    assert total.numpy() == pytest.approx(expected, rel=1e-6)


def test_all_void_gives_zero_loss_and_zero_gradient():
    logits = tf.Variable(tf.random.normal((1, 3, 3, 2)))
    with tf.GradientTape() as tape:
        total = CROSS_ENTROPY.total(tf.fill((1, 3, 3), 255), logits)
    assert (total.numpy(), CROSS_ENTROPY.weight(tf.fill((1, 3, 3), 255)).numpy()) == (0, 0)
    assert not np.any(tape.gradient(total, logits))


def test_weight_decay_is_half_lambda_times_the_squared_norm():
    kernels = [keras.Variable([3.0, 4.0]), keras.Variable([[1.0], [2.0]])]
    assert weight_decay_loss(kernels, 1e-4).numpy() == pytest.approx(1e-4 / 2 * (25 + 5))


@pytest.mark.parametrize("name", LOSSES)
def test_void_changes_nothing(name):
    mask, logits = random_case()
    value, gradient = value_and_gradient(minimised(name), mask, logits)
    void = mask == VOID
    noise = np.random.default_rng(5).normal(size=logits.shape).astype(np.float32) * 30
    moved = np.where(void[..., None], noise, logits)
    moved_value, moved_gradient = value_and_gradient(minimised(name), mask, moved)
    assert value == moved_value
    np.testing.assert_array_equal(gradient, moved_gradient)
    assert not gradient[void].any() and gradient[~void].any()


@pytest.mark.parametrize("name", LOSSES)
def test_all_void_is_0_with_gradient_0(name):
    mask, logits = random_case(void=1.1)
    value, gradient = value_and_gradient(minimised(name), mask, logits)
    assert value == 0 and not gradient.any()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("scale", [100.0, 1e30])
def test_losses_of_extreme_logits_are_finite(name, scale):
    mask, logits = random_case()
    value, gradient = value_and_gradient(minimised(name), mask, scale * logits)
    assert np.isfinite(value) and np.isfinite(gradient).all()


@pytest.mark.parametrize("name", LOSSES)
def test_cross_entropy_is_reported_beside_every_loss(name):
    mask, logits = map(tf.constant, random_case())
    shares = LOSSES[name](mask, logits)
    (expected,) = mean_cross_entropy(mask, logits).values()
    assert shares["cross_entropy"].numpy() == expected.numpy()
    assert ("data_loss" in shares) == (name != "cross entropy")


def test_options_that_change_nothing_are_the_plain_cross_entropy():
    assert make_data_loss(TrainConfig()) is mean_cross_entropy
    assert make_data_loss(TrainConfig(loss=Loss.FOCAL, focal_gamma=0.0)) is mean_cross_entropy


@pytest.mark.parametrize("loss", [Loss.DICE, Loss.LOVASZ])
def test_labels_are_smoothed_in_the_cross_entropy_beside_a_loss_of_regions(loss):
    mask, logits = map(tf.constant, random_case())
    sharp, smooth = (
        make_data_loss(TrainConfig(loss=loss, label_smoothing=share))(mask, logits)["data_loss"]
        for share in (0.0, 0.1)
    )
    added = pixel_loss(label_smoothing=0.1)(mask, logits) - CROSS_ENTROPY(mask, logits)
    assert (smooth - sharp).numpy() == pytest.approx(added.numpy(), rel=1e-5) and added > 0


@pytest.mark.parametrize(
    ("loss", "of_regions"), [(Loss.DICE, dice_loss), (Loss.LOVASZ, lovasz_softmax_loss)]
)
def test_losses_of_regions_are_added_to_that_of_pixels(loss, of_regions):
    mask, logits = map(tf.constant, random_case())
    train = TrainConfig(loss=loss, ohem_share=0.5)
    of_pixels = pixel_loss(class_weights=WEIGHTS, ohem_share=0.5)(mask, logits)
    found = make_data_loss(train, WEIGHTS)(mask, logits)["data_loss"]
    assert found.numpy() == pytest.approx((of_pixels + of_regions(mask, logits)).numpy())
