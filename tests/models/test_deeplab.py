"""The whole network: its contract with images, its first loss, saving, other output strides."""

import dataclasses

import keras
import numpy as np
import pytest
from support.seeded_weights import draw_image, set_seeded_weights

from deeplab_tf.config import Backbone, ModelConfig, Normalization
from deeplab_tf.models import build_model, with_output_stride

MODEL_CONFIG = ModelConfig(backbone=Backbone.RESNET_SLIM, num_classes=6)


@pytest.fixture(scope="module")
def model():
    built = build_model(MODEL_CONFIG)
    set_seeded_weights(built)
    return built


def layer_output(model, name):
    return keras.Model(model.input, model.get_layer(name).output)


def test_uint8_and_float_pixels_give_the_same_logits(model):
    image = draw_image(0, 65, 49)
    logits = model(image).numpy()
    assert logits.shape == (1, 65, 49, 6) and logits.dtype == np.float32
    assert logits.std() > 0.1
    np.testing.assert_array_equal(model(image.astype(np.float32)), logits)
    compiled = model.predict(image, verbose=0)
    np.testing.assert_allclose(compiled, logits, rtol=0, atol=1e-5 * np.abs(logits).max())


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (33, 65), (2, 3)])
def test_any_size(model, size):
    image = draw_image(1, *size)
    logits = model(image).numpy()
    assert logits.shape == (1, *size, 6)
    # Sample i of the map lies on pixel 16 i.
    coarse = layer_output(model, "logits")(image)
    np.testing.assert_allclose(logits[:, ::16, ::16], coarse, atol=1e-5)
    assert np.abs(logits).max() > 0.1


def test_images_of_a_batch_do_not_see_each_other(model):
    batch = np.concatenate([draw_image(2, 40, 50), draw_image(3, 40, 50)])
    alone = model(batch[1:]).numpy()
    np.testing.assert_allclose(model(batch).numpy()[1:], alone, atol=1e-4 * np.abs(alone).max())


# (pixel - mean) / std by hand: the mean, then white.
@pytest.mark.parametrize(
    ("normalization", "mean", "white"),
    [
        (Normalization.MEAN_SUBTRACTION, (123.15, 115.90, 103.06), (131.85, 139.10, 151.94)),
        (Normalization.SYMMETRIC, (127.5, 127.5, 127.5), (1.0, 1.0, 1.0)),
        (Normalization.MEAN_STD, (123.675, 116.28, 103.53), (2.24891, 2.42857, 2.64)),
    ],
)
def test_normalization(normalization, mean, white):
    built = build_model(dataclasses.replace(MODEL_CONFIG, normalization=normalization))
    normalize = layer_output(built, "normalize")
    pixels = np.float32([[mean, (255, 255, 255)]]).reshape(1, 1, 2, 3)
    expected = np.float64([[(0, 0, 0), white]]).reshape(1, 1, 2, 3)
    np.testing.assert_allclose(normalize(pixels), expected, atol=2e-5)


@pytest.mark.parametrize("classes", [2, 21])
def test_first_loss_is_log_of_the_classes(classes):
    """Nothing is preferred before training, batch norm in training mode."""
    built = build_model(dataclasses.replace(MODEL_CONFIG, num_classes=classes))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 65, 65, 3)).astype(np.uint8)
    mask = rng.integers(0, classes, (4, 65, 65))
    logits = np.float64(built(images, training=True))
    logits -= logits.max(axis=-1, keepdims=True)
    log_sum = np.log(np.exp(logits).sum(axis=-1))
    picked = np.take_along_axis(logits, mask[..., None], axis=-1)[..., 0]
    assert abs((log_sum - picked).mean() - np.log(classes)) < 0.05
    assert logits.std() > 1e-3


def test_keras_file_round_trip_is_bit_identical(model, tmp_path):
    """With no custom_objects: importing the package registers its layers."""
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    assert [v.path for v in loaded.weights] == [v.path for v in model.weights]
    for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for size in ((65, 65), (50, 75)):
        image = draw_image(4, *size)
        np.testing.assert_array_equal(loaded(image), model(image))


def test_other_output_strides_keep_the_weights(model):
    image = draw_image(5, 64, 65)
    dense = with_output_stride(model, MODEL_CONFIG, 8)
    assert layer_output(dense, "logits")(image).shape == (1, 8, 9, 6)
    assert dense(image).shape == (1, 64, 65, 6)
    for a, b in zip(dense.weights, model.weights, strict=True):
        assert a.path == b.path
        np.testing.assert_array_equal(a, b)
    assert with_output_stride(model, MODEL_CONFIG, 16) is model


def test_torchvisions_extras_are_options():
    built = build_model(dataclasses.replace(MODEL_CONFIG, head_conv=True, aspp_dropout=0.5))
    assert built.get_layer("aspp_dropout").rate == 0.5
    assert built.get_layer("head_conv").kernel.shape == (3, 3, 64, 64)
    plain = [layer.name for layer in build_model(MODEL_CONFIG).layers]
    assert "aspp_dropout" not in plain and "head_conv" not in plain


def test_num_classes_must_be_known():
    with pytest.raises(ValueError, match="num_classes must be set.*Received: None"):
        build_model(ModelConfig())
