"""A rare class that cross entropy gives up: what the other losses make of it."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.config import Loss, TrainConfig
from deeplab_tf.models.conv import AtrousConv2D
from deeplab_tf.training.class_weights import auto_weights
from deeplab_tf.training.loss import make_data_loss
from deeplab_tf.training.optimizer import make_optimizer
from deeplab_tf.training.step import make_train_step

SHAPE = (4, 64, 64)
STEPS = 400


def rare_and_overlapping():
    """One pixel of a hundred is of class 1; a channel is normal around 0 for class 0, 2 for 1."""
    rng = np.random.default_rng(0)
    mask = (rng.random(SHAPE) < 0.01).astype(np.uint8)
    image = rng.normal(size=(*SHAPE, 3)).astype(np.float32)
    image[..., 0] += 2 * mask
    mask[rng.random(SHAPE) < 0.1] = 255
    return image, mask


@functools.cache
def rare_class_after_training(loss, class_weights="none"):
    """(share of class 1 that is found, its IoU) of one linear layer, trained."""
    train = TrainConfig(steps=STEPS, base_learning_rate=0.5, loss=loss)
    image, mask = rare_and_overlapping()
    weights = None
    if class_weights == "auto":
        weights = auto_weights(np.bincount(mask[mask != 255], minlength=2).tolist())
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, AtrousConv2D(2, 1, use_bias=True)(inputs))
    optimizer = make_optimizer(train, model)
    data_loss = make_data_loss(train, weights)
    step = make_train_step(model, optimizer, tf.distribute.get_strategy(), train, data_loss)
    for _ in range(STEPS):
        step(tf.constant(image), tf.constant(mask))
    guess = np.argmax(model(image), -1)[mask != 255] == 1
    truth = mask[mask != 255] == 1
    return (guess & truth).sum() / truth.sum(), (guess & truth).sum() / (guess | truth).sum()


@pytest.mark.parametrize("loss", [Loss.CROSS_ENTROPY, Loss.FOCAL])
def test_class_weights_find_a_rare_class(loss):
    # Where class 1 is 99 times as likely as class 0, above 3.3, cross entropy guesses it: a tenth
    # of it. These weights differ by 24, so above 1.7, which finds 61 %.
    found, _ = rare_class_after_training(Loss.CROSS_ENTROPY)
    assert found < 0.25
    found, _ = rare_class_after_training(loss, "auto")
    assert 0.5 < found < 0.7


@pytest.mark.parametrize("loss", [Loss.DICE, Loss.LOVASZ])
def test_losses_of_regions_raise_the_iou_of_a_rare_class(loss):
    found_before, before = rare_class_after_training(Loss.CROSS_ENTROPY)
    found, iou = rare_class_after_training(loss)
    assert found > 1.2 * found_before and iou > 1.2 * before
