"""SGD and AdamW against float64: rates by part, weight decay, clipping, devices, parts, 16 bits."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.noise_run import MODEL_CONFIG

from deeplab_tf.config import (
    Experiment,
    OptimizerName,
    Precision,
    StrategyName,
    TrainConfig,
    validate,
)
from deeplab_tf.distributed.strategy import make_strategy
from deeplab_tf.models import build_model
from deeplab_tf.models.conv import AtrousConv2D, decayed_kernels
from deeplab_tf.models.parts import HEAD, part_of
from deeplab_tf.runs.average import averages
from deeplab_tf.training.accumulate import accumulated_step
from deeplab_tf.training.optimizer import make_optimizer, rate_note
from deeplab_tf.training.step import make_train_step

STEPS = 4
BITS = 2.0**-24
DEPTHS = {HEAD: 0, "block4": 1, "block3": 2, "block2": 3, "block1": 4, "conv1": 5}
"""How often a part has `layer_decay`, by hand."""
TRAIN = TrainConfig(
    steps=20,
    schedule="cosine",
    warmup_steps=2,
    base_learning_rate=0.01,
    weight_decay=0.05,
    backbone_rate=0.5,
    head_rate=3.0,
    layer_decay=0.7,
    clip_norm=2.0,
    ema_momentum=0.8,
)
RATES = [0.01 / 3, 0.02 / 3, *(0.005 * (1 + np.cos(np.pi * step / 18)) for step in range(18))]


@pytest.fixture(scope="module")
def network():
    return build_model(MODEL_CONFIG)


@pytest.fixture(scope="module")
def gradients(network):
    """[STEPS][variables], none of them near 0, and longer than `clip_norm` at every other step."""
    rng = np.random.default_rng(0)
    count = sum(int(np.prod(variable.shape)) for variable in network.trainable_variables)
    steps = []
    for step in range(STEPS):
        size = (3.0 if step % 2 else 0.5) / np.sqrt(count)
        steps.append(
            [
                (size * rng.uniform(0.5, 1.5, v.shape) * rng.choice([-1, 1], v.shape)).astype("f4")
                for v in network.trainable_variables
            ]
        )
    return steps


def expected(network, gradients, train, adam):
    """The weights after `gradients`, and their averages, in float64."""
    kernels = {kernel.path for kernel in decayed_kernels(network)}
    weights = [variable.numpy().astype(np.float64) for variable in network.trainable_variables]
    factors = []
    for variable in network.trainable_variables:
        part = part_of(variable.path.split("/")[0])
        whole = train.head_rate if part == HEAD else train.backbone_rate
        factors.append(whole * train.layer_decay ** DEPTHS[part])
    first, second = ([np.zeros_like(w) for w in weights] for _ in range(2))
    average = None
    for step, given in enumerate(gradients):
        given = [gradient.astype(np.float64) for gradient in given]
        norm = np.sqrt(sum(np.square(gradient).sum() for gradient in given))
        if train.clip_norm:
            given = [gradient * min(1.0, train.clip_norm / norm) for gradient in given]
        for i, variable in enumerate(network.trainable_variables):
            rate = RATES[step] * factors[i]
            if adam:
                first[i] = 0.9 * first[i] + 0.1 * given[i]
                second[i] = 0.999 * second[i] + 0.001 * given[i] ** 2
                mean = first[i] / (1 - 0.9 ** (step + 1))
                deviation = np.sqrt(second[i] / (1 - 0.999 ** (step + 1)))
                if variable.path in kernels:
                    weights[i] = weights[i] - rate * train.weight_decay * weights[i]
                # Keras adds epsilon to the root of `second` as it is, before the correction.
                epsilon = 1e-8 / np.sqrt(1 - 0.999 ** (step + 1))
                weights[i] = weights[i] - rate * mean / (deviation + epsilon)
            else:
                first[i] = 0.9 * first[i] - rate * given[i]
                weights[i] = weights[i] + first[i]
        if average is None:
            average = weights  # Keras begins with the weights after the first step
        average = [0.8 * a + 0.2 * w for a, w in zip(average, weights, strict=True)]
    return weights, average


@pytest.mark.parametrize(
    ("name", "clip_norm", "precision"),
    [
        (OptimizerName.SGD, 2.0, Precision.FLOAT32),
        (OptimizerName.ADAMW, 0.0, Precision.FLOAT32),
        (OptimizerName.ADAMW, 2.0, Precision.FLOAT32),
        (OptimizerName.ADAMW, 2.0, Precision.MIXED_FLOAT16),
    ],
)
def test_every_weight_and_its_average_in_float64(network, gradients, name, clip_norm, precision):
    train = dataclasses.replace(TRAIN, optimizer=name, clip_norm=clip_norm, precision=precision)
    before = network.get_weights()
    optimizer = make_optimizer(train, network)
    scale = float(optimizer.scale_loss(tf.constant(1.0)))
    assert scale == (2.0**15 if precision is Precision.MIXED_FLOAT16 else 1.0)
    wanted, average = expected(network, gradients, train, name is OptimizerName.ADAMW)
    for step in gradients:
        optimizer.apply([scale * gradient for gradient in step], network.trainable_variables)
    trained, kept = network.trainable_variables, averages(optimizer)
    for variable, weight, mean, mean_weight in zip(trained, wanted, kept, average, strict=True):
        # float32 has beta_2 to half a bit of 1, which is 6e-5 of 1 - beta_2; AdamW divides by its
        # root. A weight is rounded at each step, twice with the decay.
        rate = sum(RATES[:STEPS]) * train.head_rate
        bound = 2 * STEPS * BITS * max(1.0, np.abs(weight).max()) + 6e-5 * rate
        assert np.abs(variable.numpy() - weight).max() < bound, variable.path
        assert np.abs(mean.numpy() - mean_weight).max() < 2 * bound, variable.path
    network.set_weights(before)


def test_defaults_are_bit_for_bit_keras_sgd_on_poly(network, gradients):
    """The update that every run had before there was a choice."""
    schedule = keras.optimizers.schedules.PolynomialDecay(
        0.007, decay_steps=30_000, end_learning_rate=0.0, power=0.9
    )
    plain = keras.optimizers.SGD(schedule, momentum=0.9)
    plain.build(network.trainable_variables)
    before, found = network.get_weights(), []
    for optimizer in (plain, make_optimizer(TrainConfig(), network)):
        for step in gradients:
            optimizer.apply(step, network.trainable_variables)
        found.append(network.get_weights())
        network.set_weights(before)
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(np.ptp(a - old) for a, old in zip(found[0], before, strict=True))


SHARES = np.float32([[[3.0, 0.5], [-1.0, 0.25]], [[1.0, -8.0], [5.0, 0.75]]])
"""[steps, images, numbers]: gradients whose sums are exact in any order."""


def after_exact_gradients(strategy, parts, train):
    """The weights after `SHARES`, of which each of two devices, or of two parts, has one image."""
    with strategy.scope():
        inputs = keras.Input((1,))
        layer = keras.layers.Dense(2, use_bias=False, kernel_initializer="ones")
        model = keras.Model(inputs, layer(inputs))
        optimizer = make_optimizer(train, model)

    def gradients_of(image, mask, whole_mask, part):
        gradient = optimizer.scale_loss(tf.reduce_sum(image, 0, keepdims=True))
        return [gradient], {"loss": tf.zeros(())}

    def apply(gradients):
        optimizer.apply(gradients, model.trainable_variables)

    step = accumulated_step(strategy, model.trainable_variables, gradients_of, apply, parts)
    replicas = strategy.num_replicas_in_sync
    for images in SHARES:
        shares = np.split(images, replicas)
        dealt = strategy.experimental_distribute_values_from_function(
            lambda context, x=shares: tf.constant(x[context.replica_id_in_sync_group])
        )
        step(dealt, dealt)
    copies = strategy.experimental_local_results(layer.kernel.value)
    assert all(np.array_equal(copy, copies[0]) for copy in copies)
    return copies[0].numpy().ravel()


@pytest.mark.parametrize("name", OptimizerName)
def test_devices_and_parts_clip_what_they_add_up_to(name):
    """The sums and the loss scale are exact, so the bits are those of the whole batch at once."""
    train = TrainConfig(
        steps=20, optimizer=name, base_learning_rate=0.1, clip_norm=1.0, weight_decay=0.0
    )
    one, two = tf.distribute.get_strategy(), make_strategy(StrategyName.MIRRORED)
    whole = after_exact_gradients(one, 1, train)
    np.testing.assert_array_equal(after_exact_gradients(one, 2, train), whole)
    np.testing.assert_array_equal(after_exact_gradients(two, 1, train), whole)
    scaled = dataclasses.replace(train, precision=Precision.MIXED_FLOAT16)
    np.testing.assert_array_equal(after_exact_gradients(two, 1, scaled), whole)
    if name is OptimizerName.SGD:
        # The sums are (2, 0.75) and (6, -7.25), each longer than 1.
        unit = [np.array(v) / np.hypot(*v) for v in ((2.0, 0.75), (6.0, -7.25))]
        first = -0.1 * unit[0]
        second = 0.9 * first - 0.1 * (1 - 1 / 20) ** 0.9 * unit[1]
        np.testing.assert_allclose(whole, 1 + first + second, rtol=1e-6)


def test_gradients_of_no_finite_norm_become_nan():
    """And not 0, which would go unseen."""
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(2, use_bias=False)(inputs))
    optimizer = make_optimizer(TrainConfig(clip_norm=1.0), model)
    (variable,) = model.trainable_variables
    optimizer.apply([tf.constant([[1e30, 1.0]])], [variable])
    assert np.isnan(variable.numpy()).all()


@pytest.mark.parametrize("name", OptimizerName)
def test_the_weight_decay_of_adamw_is_no_part_of_the_loss(name):
    inputs = keras.Input((None, None, 3))
    layer = AtrousConv2D(2, 1, kernel_initializer="ones")
    model = keras.Model(inputs, layer(inputs))
    train = TrainConfig(optimizer=name, weight_decay=0.5, base_learning_rate=1e-3)
    step = make_train_step(model, make_optimizer(train, model), tf.distribute.get_strategy(), train)
    image, mask = tf.zeros((1, 2, 2, 3)), tf.constant([[[0, 1], [0, 1]]])
    losses = {name: float(value) for name, value in step(image, mask).items()}
    decay = 0.5 / 2 * 6 if name is OptimizerName.SGD else 0.0
    assert losses["loss"] == pytest.approx(losses["cross_entropy"] + decay)
    # The image is black, so that the kernel has no gradient but the decay.
    np.testing.assert_allclose(layer.kernel.numpy(), 1 - 1e-3 * 0.5, rtol=1e-7)


@pytest.mark.parametrize(
    ("fields", "noted"),
    [
        ({"optimizer": "adamw"}, ["base_learning_rate=0.007", "weight_decay=0.0001"]),
        (
            {"optimizer": "adamw", "base_learning_rate": 0.05, "weight_decay": 0.01},
            ["base_learning_rate=0.05"],
        ),
        ({"optimizer": "adamw", "base_learning_rate": 0.001}, ["weight_decay=0.0001"]),
        ({"optimizer": "adamw", "base_learning_rate": 0.001, "weight_decay": 0.0}, []),
        ({}, []),
    ],
)
def test_adamw_with_the_numbers_of_sgd_gets_a_line_for_each(fields, noted):
    train = validate(Experiment(train=TrainConfig(**fields))).train
    lines = rate_note(train)
    assert len(lines) == len(noted)
    for line, start in zip(lines, noted, strict=True):
        assert line.startswith(f"note: train.{start} is a ")
        assert "AdamW" in line and "\n" not in line
