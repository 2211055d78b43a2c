"""The ASPP's rates, reach, and its image-level features."""

import dataclasses

import keras
import numpy as np
import pytest
from support.seeded_weights import set_seeded_weights

from deeplab_tf.config import Backbone, ModelConfig
from deeplab_tf.models.aspp import BroadcastLike, aspp, effective_rates

MODEL_CONFIG = ModelConfig(backbone=Backbone.RESNET_SLIM, num_classes=4)


def aspp_model(model_config, channels=6, filters=5):
    features = keras.Input((None, None, channels))
    return keras.Model(features, aspp(features, model_config, filters))


def layer_output(model, name):
    return keras.Model(model.input, model.get_layer(name).output)


@pytest.mark.parametrize(
    ("output_stride", "rates"),
    [(4, [24, 48, 72]), (8, [12, 24, 36]), (16, [6, 12, 18]), (32, [3, 6, 9])],
)
def test_rates_follow_the_output_stride(output_stride, rates):
    """Section 3.3: (6, 12, 18) at 16, doubled at 8. Held to the layers and to their reach."""
    model_config = dataclasses.replace(MODEL_CONFIG, output_stride=output_stride)
    assert effective_rates(model_config) == rates
    model = aspp_model(model_config, channels=1, filters=1)
    side = 2 * 72 + 3
    middle = side // 2
    impulse = np.zeros((1, side, side, 1), np.float32)
    impulse[0, middle, middle] = 1
    for index, rate in enumerate(rates, start=1):
        layer = model.get_layer(f"aspp_atrous{index}")
        assert layer.dilation_rate == (rate, rate)
        layer.kernel.assign(np.ones(layer.kernel.shape))
        response = layer(impulse).numpy()[0, ..., 0]
        taps = [middle - rate, middle, middle + rate]
        assert np.argwhere(response > 0.5).tolist() == [[r, c] for r in taps for c in taps]


def test_small_rates_stay_at_least_1_and_a_fourth_branch_is_possible():
    coarse = dataclasses.replace(MODEL_CONFIG, output_stride=32, aspp_rates=(1, 6, 12, 18))
    assert effective_rates(coarse) == [1, 3, 6, 9]
    assert aspp_model(coarse).get_layer("aspp_concat").output.shape[-1] == 6 * 5


@pytest.mark.parametrize("size", [(33, 33), (71, 90), (1, 1), (3, 200)])
def test_image_pooling_sees_the_whole_map(size):
    """A window of the training crop's 33 x 33 samples would miss most of the larger maps."""
    model = aspp_model(MODEL_CONFIG)
    values = set_seeded_weights(model)
    # Positive, so that ReLU does not hide the result.
    values["aspp_pool/kernel"] = np.abs(values["aspp_pool/kernel"])
    model.get_layer("aspp_pool").kernel.assign(values["aspp_pool/kernel"])
    x = np.random.default_rng(0).uniform(0, 1, (2, *size, 6)).astype(np.float32)
    # Only the last corner doubles the mean.
    x[:, -1, -1] += 0.5 * size[0] * size[1]
    got = layer_output(model, "aspp_pool_broadcast")(x).numpy()
    mean = np.float64(x).mean(axis=(1, 2))
    norm = {
        part: np.float64(values[f"aspp_pool_bn/{part}"])
        for part in ("gamma", "beta", "moving_mean", "moving_variance")
    }
    y = mean @ np.float64(values["aspp_pool/kernel"][0, 0]) - norm["moving_mean"]
    y = y / np.sqrt(norm["moving_variance"] + 1e-5) * norm["gamma"] + norm["beta"]
    y = np.maximum(y, 0)
    assert y.max() > 0.1
    assert got.shape == (2, *size, 5)
    expected = np.broadcast_to(y[:, None, None], got.shape)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_without_image_pooling():
    model = aspp_model(dataclasses.replace(MODEL_CONFIG, image_pooling=False))
    names = [layer.name for layer in model.layers]
    assert not [name for name in names if name.startswith("aspp_pool")]
    assert model.get_layer("aspp_concat").output.shape[-1] == 4 * 5


def test_broadcast_like():
    pixel = np.arange(6, dtype=np.float32).reshape(2, 1, 1, 3)
    spread = BroadcastLike()([pixel, np.zeros((2, 4, 5, 7), np.float32)]).numpy()
    assert spread.shape == (2, 4, 5, 3)
    assert (spread == pixel).all()
    symbolic = BroadcastLike()([keras.Input((1, 1, 3)), keras.Input((None, 5, 7))])
    assert symbolic.shape == (None, None, 5, 3)
