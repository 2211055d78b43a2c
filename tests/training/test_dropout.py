"""Dropout's masks: a function of seed, step, part and replica, and of nothing else."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.noise_run import MODEL_CONFIG, noise_run

from deeplab_tf.config import Precision, StrategyName
from deeplab_tf.distributed.strategy import make_strategy
from deeplab_tf.models import build_model
from deeplab_tf.models.dropout import KeyedDropout, dropout_key, masks_drawn_by
from deeplab_tf.models.precision import computing_in

ONES = np.ones((2, 40, 50, 8), np.float32)


def mask(layer, *numbers, x=ONES):
    with masks_drawn_by(lambda: dropout_key(*numbers)):
        return np.asarray(tf.cast(layer(x, training=True), tf.float32))


@pytest.mark.parametrize("precision", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_a_share_is_zero_and_the_others_keep_the_mean(rate, precision):
    with computing_in(Precision(precision)):
        layer = KeyedDropout(rate)
    found = mask(layer, 0, 0, 0, 0)
    assert abs(np.mean(found == 0) - rate) < 4 * (rate * (1 - rate) / ONES.size) ** 0.5
    np.testing.assert_allclose(found[found > 0], 1 / (1 - rate), rtol=1e-2)


def test_every_number_of_the_key_gives_another_mask_and_the_same_gives_the_same():
    layer = KeyedDropout(0.5, name="one")
    keys = [(0, 0, 0, 0), *np.eye(4, dtype=int).tolist(), (2**32 - 1, 9, 0, 0)]
    masks = [mask(layer, *key) for key in keys]
    masks.append(mask(KeyedDropout(0.5, name="two"), *keys[0]))
    for index, a in enumerate(masks):
        for b in masks[:index]:
            assert 0.4 < np.mean(a == b) < 0.6
    np.testing.assert_array_equal(mask(layer, *keys[1]), masks[1])
    compiled = tf.function(lambda x: mask_of(layer, keys[1], x), jit_compile=True)
    np.testing.assert_array_equal(compiled(tf.constant(ONES)), masks[1])


def mask_of(layer, key, x):
    with masks_drawn_by(lambda: dropout_key(*key)):
        return layer(x, training=True)


def test_inference_and_training_without_a_key():
    layer = KeyedDropout(0.5)
    np.testing.assert_array_equal(layer(ONES, training=False), ONES)
    with masks_drawn_by(lambda: dropout_key(0, 0, 0, 0)):
        np.testing.assert_array_equal(layer(ONES, training=False), ONES)
    assert 0.4 < np.mean(layer(ONES, training=True) == 0) < 0.6  # as Keras' own layer


def test_files_with_keras_own_layer_and_with_ours_are_one_network(tmp_path):
    model = build_model(dataclasses.replace(MODEL_CONFIG, aspp_dropout=0.5))
    image = np.random.default_rng(0).integers(0, 256, (1, 33, 33, 3)).astype(np.float32)
    model.save(tmp_path / "ours.keras")

    def with_keras_layer(layer):
        kind = keras.layers.Dropout if isinstance(layer, KeyedDropout) else type(layer)
        return kind.from_config(layer.get_config())

    older = keras.models.clone_model(model, clone_function=with_keras_layer)
    older.set_weights(model.get_weights())
    assert type(older.get_layer("aspp_dropout")) is keras.layers.Dropout
    older.save(tmp_path / "older.keras")
    for name in ("ours.keras", "older.keras"):
        loaded = keras.saving.load_model(tmp_path / name, compile=False)
        np.testing.assert_array_equal(loaded(image), model(image))
        assert len(loaded.weights) == len(model.weights)


DROPPING = dataclasses.replace(MODEL_CONFIG, aspp_dropout=0.5)


def test_steps_and_parts_draw_masks_of_their_own():
    """Without a rate a step leaves the weights as they are, so only the masks change the loss."""
    still = {"base_learning_rate": 1e-30, "batch_norm": "frozen"}

    def losses(**fields):
        run = noise_run(1, model_config=DROPPING, **still, **fields)
        return run.losses[0]["cross_entropy"]

    first = losses()
    assert losses() == first
    assert losses(rematerialize=True) == pytest.approx(first, abs=1e-6)
    for other in ({"seed": 1}, {"accumulate_steps": 2}):
        assert abs(losses(**other) - first) > 1e-6


def test_replicas_draw_masks_of_their_own():
    devices = make_strategy(StrategyName.MIRRORED)
    layer = KeyedDropout(0.5)

    @tf.function
    def masks():
        def replica():
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            return mask_of(layer, (0, 0, 0, number), tf.constant(ONES))

        return devices.run(replica)

    a, b = (np.asarray(part) for part in devices.experimental_local_results(masks()))
    assert 0.4 < np.mean(a == b) < 0.6
