"""Labels and cross entropy of every strategy, and weights that are replaced without a new trace."""

import dataclasses

import keras
import numpy as np
import pytest
from support.random_model import random_picture, random_trained_model

from deeplab_tf.config import Backbone, EvaluateConfig
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOID
from deeplab_tf.inference.scorer import Scorer
from deeplab_tf.inference.strategies import images_to_labels, images_to_probabilities

IMAGE = random_picture(50, 71)
WAYS = {
    "scales and flip": {"scales": (0.5, 1.25), "flip": True, "output_stride": 8},
    "working size": {"working_size": 40},
    "windows": {"window": 65},
    "padding": {"pad_to": 81},
}


def tiny_model():
    return random_trained_model(backbone=Backbone.RESNET_TINY, multi_grid=(2,))


@pytest.fixture(scope="module")
def trained():
    return tiny_model()


@pytest.fixture(scope="module")
def mask():
    mask = np.random.default_rng(1).integers(0, 6, IMAGE.shape[:2]).astype(np.uint8)
    mask[:9] = VOID
    return mask


def silent(_line):
    pass


@pytest.mark.parametrize("way", WAYS)
def test_labels_are_the_predictors_and_the_loss_is_that_of_its_probabilities(trained, mask, way):
    image = random_picture(50, 150) if way == "windows" else IMAGE
    mask = np.resize(mask, image.shape[:2])
    evaluate_config = EvaluateConfig(**WAYS[way])
    labels, loss = Scorer(trained, evaluate_config, silent)(image, mask)
    expected = images_to_labels(trained, evaluate_config, silent)(image[None])[0]
    assert labels.dtype == np.uint8 and len(np.unique(labels)) > 1
    np.testing.assert_array_equal(labels, expected)
    found = images_to_probabilities(trained, evaluate_config, silent)(image[None])[0]
    rows, columns = np.nonzero(mask != VOID)
    true = found[rows, columns, mask[rows, columns]].astype(np.float64)
    assert loss == pytest.approx(-np.log(true).sum(), rel=1e-4)


def test_the_loss_of_one_view_is_the_cross_entropy_of_the_network(trained, mask):
    """Computed in float64 from the logits of the network with its batch norms."""
    logits = trained.model(IMAGE[None], training=False).numpy()[0].astype(np.float64)
    shifted = logits - logits.max(-1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(-1))
    valid = mask != VOID
    true = np.take_along_axis(shifted, np.where(valid, mask, 0)[..., None].astype(int), -1)[..., 0]
    _, loss = Scorer(trained, EvaluateConfig())(IMAGE, mask)
    assert loss == pytest.approx((log_sums - true)[valid].sum(), rel=1e-5)


def test_the_line_on_large_images_names_a_flag_of_the_training(trained, mask):
    lines = []
    Scorer(trained, EvaluateConfig(working_size=40), lines.append)(IMAGE, mask)
    assert lines == [
        "images longer than 40 pixels are shrunk to 40 for the network and its scores are enlarged "
        "again; --config.evaluate.working_size=0 leaves them as they are"
    ]
    unknown = dataclasses.replace(trained.experiment.data, longest_side=None)
    experiment = dataclasses.replace(trained.experiment, data=unknown)
    Scorer(dataclasses.replace(trained, experiment=experiment), EvaluateConfig(), lines.append)(
        np.zeros((3, 700, 3), np.uint8), np.zeros((3, 700), np.uint8)
    )
    assert lines[1].endswith(
        "; --config.evaluate.working_size=N shrinks those longer than N pixels for the network"
    )


def test_a_mask_of_void_has_no_loss(trained):
    assert Scorer(trained, EvaluateConfig())(IMAGE, np.full((50, 71), VOID, np.uint8))[1] == 0


def test_a_probability_of_zero_has_a_finite_loss(mask):
    """An average of softmaxes underflows where a class is far behind in every view."""
    trained = tiny_model()
    logits = trained.model.get_layer("logits")
    kernel, bias = logits.get_weights()
    logits.set_weights([kernel, bias + 1e4 * (np.arange(6) == 0)])
    _, loss = Scorer(trained, EvaluateConfig(flip=True))(IMAGE, mask)
    wrong = ((mask != VOID) & (mask != 0)).sum()
    assert loss == pytest.approx(wrong * -np.log(np.finfo(np.float32).tiny), rel=1e-5)


def test_new_weights_are_taken_without_a_new_trace(mask, monkeypatch):
    trained = tiny_model()
    evaluate_config = EvaluateConfig(output_stride=8)
    scorer = Scorer(trained, evaluate_config)
    calls, call = [], keras.Model.__call__

    def counting(model, *arguments, **more):
        calls.append(model)
        return call(model, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "__call__", counting)
        before = scorer(IMAGE, mask)
        traced = len(calls)
        assert traced > 0  # the network is called while it is traced, and only then
        rng = np.random.default_rng(3)
        trained.model.set_weights(
            [w * rng.uniform(0.8, 1.2, w.shape) for w in trained.model.get_weights()]
        )
        np.testing.assert_array_equal(scorer(IMAGE, mask)[0], before[0])
        scorer.copy_weights()
        labels, _ = scorer(IMAGE, mask)
        scorer(IMAGE[:33], mask[:33])
        assert len(calls) == traced
    assert not np.array_equal(labels, before[0])
    np.testing.assert_array_equal(
        labels, images_to_labels(trained, evaluate_config)(IMAGE[None])[0]
    )


def test_a_crf_without_its_images_is_refused_before_the_first(trained):
    five = dataclasses.replace(
        trained.experiment,
        model=dataclasses.replace(
            trained.experiment.model,
            image_format=dataclasses.replace(trained.image_format, bits=16),
        ),
    )
    other = dataclasses.replace(trained, experiment=five)
    with pytest.raises(DeeplabError, match="--crf compares colours"):
        Scorer(other, EvaluateConfig(crf=True))
