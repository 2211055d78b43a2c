"""The step: rates, replicas, losses, frozen statistics."""

import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.noise_run import MODEL_CONFIG

from deeplab_tf.config import (
    BatchNormMode,
    Experiment,
    Loss,
    StrategyName,
    TrainConfig,
    validate,
)
from deeplab_tf.distributed.strategy import make_strategy
from deeplab_tf.models import build_model
from deeplab_tf.models.conv import FusedBatchNormalization, decayed_kernels, set_batch_norm_mode
from deeplab_tf.models.parts import HEAD, freeze_through, part_of
from deeplab_tf.training.loss import make_data_loss, mean_cross_entropy
from deeplab_tf.training.optimizer import make_optimizer
from deeplab_tf.training.step import make_train_step

EXPERIMENT = validate(
    Experiment(
        # With one rate the mean of the last batch norm rounds by more than the bound below.
        model=dataclasses.replace(MODEL_CONFIG, aspp_rates=(6, 12, 18)),
        train=TrainConfig(steps=20, base_learning_rate=0.05),
    )
)

BATCH_NORMS = 1 + 4 * 4 + 6
"""conv1, a unit with a shortcut in each of four blocks, and ASPP."""


def batches(steps, size=4):
    """Noise images with unequal shares of void."""
    rng = np.random.default_rng(0)
    for _ in range(steps):
        image = rng.integers(0, 256, (size, 33, 33, 3)).astype(np.float32)
        mask = rng.integers(0, 3, (size, 33, 33)).astype(np.uint8)
        mask[rng.random(mask.shape) < np.linspace(0, 0.8, size)[:, None, None]] = 255
        yield image, mask


@functools.cache
def run_steps(
    strategy,
    mode,
    steps,
    data_loss=mean_cross_entropy,
    rates=(1.0, 1.0),
    frozen=None,
):
    """The model after the steps, its weights before them and the losses; made once."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = build_model(EXPERIMENT.model)
        set_batch_norm_mode(model, mode, strategy.num_replicas_in_sync)
        if frozen:
            freeze_through(model, frozen)
        train = dataclasses.replace(EXPERIMENT.train, backbone_rate=rates[0], head_rate=rates[1])
        optimizer = make_optimizer(train, model)
    before = [w.numpy() for w in model.weights]
    step = make_train_step(model, optimizer, strategy, train, data_loss)
    data = list(batches(steps))
    dataset = tf.data.Dataset.from_tensor_slices(
        (np.concatenate([x for x, _ in data]), np.concatenate([y for _, y in data]))
    ).batch(4)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    options.autotune.enabled = False  # whose end waits for the tuner
    distributed = strategy.experimental_distribute_dataset(dataset.with_options(options))
    losses = [float(step(image, mask)["loss"]) for image, mask in distributed]
    return model, before, losses


def test_two_replicas_with_synchronised_batch_norm_equal_one_device():
    one, _, losses = run_steps(tf.distribute.get_strategy(), BatchNormMode.SYNC, 2)
    two, _, mirrored_losses = run_steps(make_strategy(StrategyName.MIRRORED), BatchNormMode.SYNC, 2)
    np.testing.assert_allclose(losses, mirrored_losses, rtol=1e-5)
    for a, b in zip(one.weights, two.weights, strict=True):
        # Relative to the largest entry: moving variances of raw pixels reach thousands.
        scale = max(1.0, np.abs(a.numpy()).max())
        assert np.abs(a.numpy() - b.numpy()).max() <= 3e-6 * scale, a.path


def part(variable):
    return part_of(variable.path.split("/")[0])


def test_rates_multiply_the_steps_of_their_part():
    """The first step of SGD is minus the rate times the gradient, that of the weight decay too."""
    model, before, _ = run_steps(tf.distribute.get_strategy(), BatchNormMode.TRAIN, 1)
    scaled, _, _ = run_steps(
        tf.distribute.get_strategy(), BatchNormMode.TRAIN, 1, rates=(0.25, 10.0)
    )
    seen = set()
    for plain, other, old in zip(model.weights, scaled.weights, before, strict=True):
        factor = 10.0 if part(plain) == HEAD else 0.25
        if "moving" in plain.path:
            factor = 1.0  # statistics have no rate
        step = plain.numpy() - old
        np.testing.assert_allclose(
            other.numpy() - old, factor * step, atol=1e-5 * np.abs(step).max() * factor + 1e-6
        )
        seen.add((part(plain) == HEAD, factor))
    assert seen == {(True, 10.0), (False, 0.25), (True, 1.0), (False, 1.0)}


def test_what_is_frozen_stays_and_the_rest_learns():
    model, before, _ = run_steps(
        tf.distribute.get_strategy(), BatchNormMode.SYNC, 3, frozen="block2"
    )
    for variable, old in zip(model.weights, before, strict=True):
        still = part(variable) in ("conv1", "block1", "block2")
        assert np.array_equal(variable.numpy(), old) == still, variable.path


@pytest.mark.parametrize(
    "options",
    [
        {"weights": [0.5, 2.0, 7.5]},
        {"loss": Loss.FOCAL, "ohem_share": 0.3, "weights": [0.5, 2.0, 7.5]},
        {"loss": Loss.DICE},
        {"loss": Loss.LOVASZ},
        {"label_smoothing": 0.1, "weights": [0.5, 2.0, 7.5]},
    ],
    ids=str,
)
def test_every_loss_and_its_gradient_are_one_devices_on_two_replicas(options):
    # The logits are weights themselves: a network's batch norms would blur the digits.
    options = dict(options)
    weights = options.pop("weights", None)
    data_loss = make_data_loss(TrainConfig(**options), weights)
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, 9, 9, 3)).astype(np.float32) * 2
    mask = rng.integers(0, 3, (4, 9, 9)).astype(np.uint8)
    mask[:2][mask[:2] == 2] = 0  # the first replica has no class 2
    mask[2, :7] = 255
    mask[3] = 255

    def replica_step(mask, logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = data_loss(mask, logits)["data_loss"]
        return loss, tape.gradient(loss, logits)

    def per_replica(strategy, values):
        parts = np.split(values, strategy.num_replicas_in_sync)
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(parts[context.replica_id_in_sync_group])
        )

    found = []
    for strategy in (
        tf.distribute.get_strategy(),
        make_strategy(StrategyName.MIRRORED),
    ):
        args = (per_replica(strategy, mask), per_replica(strategy, logits))
        loss, gradient = tf.function(lambda a, s=strategy: s.run(replica_step, args=a))(args)
        losses = strategy.experimental_local_results(loss)
        gradients = strategy.experimental_local_results(gradient)
        found.append((sum(map(float, losses)), np.concatenate(gradients)))
    (loss, gradient), (mirrored_loss, mirrored_gradient) = found
    assert mirrored_loss == pytest.approx(loss, rel=1e-6)
    np.testing.assert_allclose(mirrored_gradient, gradient, atol=1e-7)
    assert gradient.any()


def test_what_is_minimised_is_the_data_loss_and_the_weight_decay():
    model = build_model(EXPERIMENT.model)
    optimizer = make_optimizer(EXPERIMENT.train, model)
    kernels = [w.numpy() for w in decayed_kernels(model)]
    train = TrainConfig(loss=Loss.DICE, weight_decay=1e-2)
    data_loss = make_data_loss(train)
    step = make_train_step(model, optimizer, tf.distribute.get_strategy(), train, data_loss)
    image, mask = next(batches(1))
    logits = model(image, training=True)
    result = step(tf.constant(image), tf.constant(mask))
    expected = data_loss(tf.constant(mask), logits)
    decay = 1e-2 / 2 * sum((kernel**2).sum() for kernel in kernels)
    assert set(result) == {"loss", "data_loss", "cross_entropy"}
    for name, value in expected.items():
        assert float(result[name]) == pytest.approx(float(value), rel=1e-5)
    assert float(result["loss"]) == pytest.approx(float(expected["data_loss"]) + decay, rel=1e-5)


def test_frozen_batch_norm_is_bit_identical_after_training_and_the_rest_learns():
    model, before, _ = run_steps(tf.distribute.get_strategy(), BatchNormMode.FROZEN, 3)
    changed = {
        w.path: not np.array_equal(w.numpy(), old)
        for w, old in zip(model.weights, before, strict=True)
    }
    norms = {
        w.path
        for layer in model.layers
        if isinstance(layer, FusedBatchNormalization)
        for w in layer.weights
    }
    assert len(norms) == 4 * BATCH_NORMS  # gamma, beta, mean and variance of every batch norm
    assert not any(changed[path] for path in norms)
    assert all(changed[path] for path in changed if path not in norms)


def test_training_statistics_do_move():
    model, before, _ = run_steps(tf.distribute.get_strategy(), BatchNormMode.TRAIN, 1)
    moved = [
        not np.array_equal(w.numpy(), old)
        for w, old in zip(model.weights, before, strict=True)
        if "moving" in w.path
    ]
    assert all(moved) and len(moved) == 2 * BATCH_NORMS


def test_one_step_changes_weights_by_rate_times_gradient():
    keras.utils.set_random_seed(0)
    model = build_model(EXPERIMENT.model)
    optimizer = make_optimizer(EXPERIMENT.train, model)
    kernel = model.get_layer("logits").kernel
    (image, mask), old = next(batches(1)), kernel.numpy()
    with tf.GradientTape() as tape:
        logits = model(image, training=True)
        valid = mask != 255
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            mask[valid].astype(np.int32), tf.boolean_mask(logits, valid)
        )
        loss = tf.reduce_mean(losses)
    gradient = tape.gradient(loss, kernel.value).numpy()
    train = TrainConfig(weight_decay=1e-4)
    step = make_train_step(model, optimizer, tf.distribute.get_strategy(), train)
    result = step(tf.constant(image), tf.constant(mask))
    expected = old - 0.05 * (gradient + 1e-4 * old)
    np.testing.assert_allclose(kernel.numpy(), expected, atol=1e-6)
    assert float(result["cross_entropy"]) == pytest.approx(float(loss), rel=1e-5)
