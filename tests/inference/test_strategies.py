import keras
import numpy as np
import pytest
import tensorflow as tf
from support.random_model import shared_model

from deeplab_tf.config import EvaluateConfig, Experiment
from deeplab_tf.errors import DeeplabError
from deeplab_tf.inference import strategies as inference
from deeplab_tf.inference.strategies import (
    class_probabilities,
    label_function,
    resolve_evaluate_config,
)

CLASSES = 6


@pytest.fixture(scope="module")
def model():
    return shared_model().model


def random_image(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def softmax(logits):
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def bilinear(image, height, width):
    """Half-pixel bilinear resizing in float64, by its definition."""

    def weights(source, target):
        matrix = np.zeros((target, source))
        for i in range(target):
            x = min(max((i + 0.5) * source / target - 0.5, 0), source - 1)
            low = int(x)
            high = min(low + 1, source - 1)
            matrix[i, low] += 1 - (x - low)
            matrix[i, high] += x - low
        return matrix

    rows, columns = weights(image.shape[0], height), weights(image.shape[1], width)
    return np.einsum("hwc,oh,pw->opc", image.astype(np.float64), rows, columns)


def pointwise(logits_of_pixel):
    """A model whose logits are a function of each pixel's neighbourhood."""
    image = keras.Input((None, None, 3))
    return keras.Model(image, logits_of_pixel(image))


def test_one_scale_is_the_argmax_of_the_logits(model):
    image = random_image(50, 37)
    labels = label_function(model, EvaluateConfig())(image[None])[0]
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, model(image[None]).numpy()[0].argmax(-1))
    assert len(np.unique(labels)) > 1


def test_one_scale_probabilities_are_the_softmax(model):
    image = random_image(50, 37)
    expected = softmax(model(image[None]).numpy()[0].astype(np.float64))
    np.testing.assert_allclose(class_probabilities(model, image[None])[0], expected, atol=1e-6)


def test_scales_and_flip_equal_numpy(model):
    image, scales = random_image(33, 50), (0.5, 1.25)
    sizes = [(17, 26), (41, 62)]  # (33 - 1) * 1.25 + 1 = 41, (50 - 1) * 1.25 + 1.5 = 62.75
    expected = np.zeros((33, 50, CLASSES))
    for height, width in sizes:
        view = bilinear(image, height, width).astype(np.float32)
        for mirror in (slice(None), slice(None, None, -1)):
            logits = model(view[None, :, mirror]).numpy()[0].astype(np.float64)
            expected += bilinear(softmax(logits)[:, mirror], 33, 50) / 4
    probabilities = class_probabilities(model, image[None], scales, flip=True)
    np.testing.assert_allclose(probabilities[0], expected, atol=2e-5)
    labels = label_function(model, EvaluateConfig(scales=scales, flip=True))(image[None])[0]
    second, first = np.sort(expected, axis=-1)[..., -2:].transpose(2, 0, 1)
    clear = first - second > 4e-5
    np.testing.assert_array_equal(labels[clear], expected.argmax(-1)[clear])
    assert clear.mean() > 0.9


def test_probabilities_sum_to_one_at_the_image_size(model):
    total = tf.reduce_sum(
        class_probabilities(model, random_image(20, 31)[None], (0.5, 0.75, 1.75), True), -1
    )
    np.testing.assert_allclose(total, np.ones((1, 20, 31)), atol=1e-5)


@pytest.mark.parametrize("width", [48, 49, 50])
def test_flip_makes_a_mirrored_image_give_mirrored_labels(model, width):
    image = random_image(33, width)
    plain, flipped = (
        class_probabilities(model, i[None], (1.0,), True)[0] for i in (image, image[:, ::-1])
    )
    np.testing.assert_allclose(flipped, plain[:, ::-1], atol=1e-6)
    once = class_probabilities(model, image[None])[0].numpy()
    other = class_probabilities(model, image[None, :, ::-1])[0].numpy()
    assert np.abs(other - once[:, ::-1]).max() > 1e-3  # the network itself is not symmetric


def test_probabilities_are_averaged_not_logits():
    # A pixel's logits are chosen by its left neighbour, which mirroring makes the right one.
    # red: (10, 15, 0), green: (8, 0, 7). Mean logits (9, 7.5, 3.5) choose class 0; mean
    # probabilities (.37, .50, .13) choose class 1.
    def logits(image):
        layer = keras.layers.Conv2D(3, (1, 3), padding="same", use_bias=False)
        output = layer(image)
        kernel = np.zeros((1, 3, 3, 3), np.float32)
        kernel[0, 0, 0] = np.array([10, 15, 0]) / 255
        kernel[0, 0, 1] = np.array([8, 0, 7]) / 255
        layer.set_weights([kernel])
        return output

    image = np.zeros((1, 3, 3), np.uint8)
    image[0, 0, 0] = 255
    image[0, 2, 1] = 255
    probabilities = class_probabilities(pointwise(logits), image[None], flip=True)[0, 0, 1]
    expected = (softmax(np.array([10.0, 15, 0])) + softmax(np.array([8.0, 0, 7]))) / 2
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    labels = label_function(pointwise(logits), EvaluateConfig(flip=True))(image[None])
    assert labels[0, 0, 1] == 1


def test_sizes_of_the_grid_stay_on_the_grid():
    seen = []

    class Spy(keras.layers.Layer):
        def call(self, image):
            tf.py_function(
                lambda shape: seen.append(tuple(shape.numpy()[1:3])), [tf.shape(image)], []
            )
            return tf.cast(image, tf.float32)

    model = pointwise(Spy())
    class_probabilities(model, np.zeros((1, 513, 1, 3), np.uint8), (0.5, 0.75, 1.25, 1.5, 1.75))
    seen = [size for size in seen if None not in size]
    assert seen == [(257, 1), (385, 1), (641, 1), (769, 1), (897, 1)]


@pytest.mark.parametrize(
    ("size", "scale", "batches"),
    [
        ((4, 6), 1.0, [2, 2, 1]),  # 2 * 24 pixels are no more than 50
        ((9, 9), 1.0, [1] * 5),  # 81 pixels cannot be cut
        ((4, 6), 2.0, [1] * 5),  # the network sees 96 of them
        ((2, 2), 1.0, [5]),
    ],
)
def test_large_images_go_through_the_network_a_few_at_a_time(monkeypatch, size, scale, batches):
    monkeypatch.setattr(inference, "BATCH_PIXELS", 50)
    seen = []

    def predict(images):
        seen.append(len(images))
        return images[..., 0]

    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((5, *size, 3), np.uint8)
    np.testing.assert_array_equal(inference.in_parts(predict, scale)(images), images[..., 0])
    assert seen == batches


@pytest.mark.parametrize(
    "evaluate_config", [EvaluateConfig(), EvaluateConfig(scales=(0.5, 1.5), flip=True)]
)
def test_a_batch_gives_what_its_images_give(model, evaluate_config):
    images = np.stack([random_image(33, 50, seed) for seed in range(3)])
    predict = label_function(model, evaluate_config)
    labels = predict(images)
    for image, found in zip(images, labels, strict=True):
        assert np.mean(predict(image[None])[0] == found) > 0.999  # a tie may fall either way
    assert (labels[0] != labels[1]).any()


@pytest.fixture(scope="module")
def views(model):
    """The labels of the model, of two scales and their mirror images."""
    return label_function(model, EvaluateConfig(scales=(0.5, 1.5), flip=True))


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (40, 3)])
def test_any_size(views, size):
    labels = views(random_image(*size)[None])
    assert labels.shape == (1, *size)
    assert labels.max() < CLASSES


def test_one_trace_serves_every_size_and_number():
    traced = []

    def logits(image):
        traced.append(image.shape)
        return keras.ops.cast(image, "float32")

    evaluate_config = EvaluateConfig(scales=(1.0, 2.0), flip=True)
    predict = label_function(pointwise(keras.layers.Lambda(logits)), evaluate_config)
    predict(random_image(5, 6)[None])
    count = len(traced)
    predict(random_image(7, 9)[None].repeat(2, 0))
    assert len(traced) == count


def test_overrides_take_what_is_given():
    experiment = Experiment()
    experiment.evaluate.scales = (0.5, 1.0)
    evaluate_config = resolve_evaluate_config(experiment, output_stride=8, scales=None, flip=True)
    assert (evaluate_config.output_stride, evaluate_config.scales, evaluate_config.flip) == (
        8,
        (0.5, 1.0),
        True,
    )
    assert experiment.evaluate.output_stride is None
    with pytest.raises(DeeplabError, match=r"config\.evaluate\.scales must be .* positive"):
        resolve_evaluate_config(experiment, scales=(0.0,))
