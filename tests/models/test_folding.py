"""A network without batch norms is the same function."""

import numpy as np
import pytest
from support.random_model import random_picture, random_trained_model

from deeplab_tf.config import Backbone, Head, ModelConfig
from deeplab_tf.models import FusedBatchNormalization, build_model, with_output_stride
from deeplab_tf.models.folding import fold_into, folded

NETWORKS = {
    "resnet": {},
    "deep root and a head convolution": {"deep_root": True, "head_conv": True},
    "mobilenet": {
        "backbone": Backbone.MOBILENET_V2,
        "multi_grid": (1, 1, 1),
        "aspp_rates": (),
        "width_multiplier": 0.25,
    },
    "no image pooling": {"image_pooling": False},
    "decoder": {
        "backbone": Backbone.RESNET_TINY,
        "multi_grid": (1,),
        "decoder_kernels": (3, 3),
        "separable": True,
    },
    "mobilenet_v3 with lr_aspp": {
        "backbone": Backbone.MOBILENET_V3_LARGE,
        "multi_grid": (1, 1, 1),
        "width_multiplier": 0.25,
        "head": Head.LR_ASPP,
    },
}


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_those_of_the_network_with_batch_norms(name):
    model = random_trained_model(**NETWORKS[name]).model
    network = folded(model)
    norms = [layer for layer in model.layers if isinstance(layer, FusedBatchNormalization)]
    assert len(norms) > 10
    # gamma, beta, mean and variance became a bias.
    assert len(model.weights) - len(network.weights) == 3 * len(norms)
    images = np.stack([random_picture(50, 71, seed) for seed in range(2)])
    expected = model(images, training=False).numpy()
    got = network(images, training=False).numpy()
    assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()
    # The test would see statistics that were left out.
    norms[3].moving_mean.assign(norms[3].moving_mean + 1.0)
    other = model(images, training=False).numpy()
    assert np.abs(got - other).max() > 2e-3 * np.abs(expected).max()


def test_a_head_without_batch_norm_keeps_its_biases():
    model = build_model(
        ModelConfig(backbone=Backbone.RESNET_SLIM, head=Head.ASPP_V2, num_classes=6)
    )
    for index in range(1, 4):
        scores = model.get_layer(f"aspp_atrous{index}")
        scores.bias.assign(np.arange(6.0) * index)
    images = random_picture(50, 71)[None]
    expected = model(images, training=False).numpy()
    got = folded(model)(images, training=False).numpy()
    assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["deep root and a head convolution", "mobilenet"])
def test_weights_are_folded_into_a_network_of_another_output_stride(name):
    trained = random_trained_model(**NETWORKS[name])
    model, model_config = trained.model, trained.experiment.model
    other = with_output_stride(model, model_config, 8)
    network = folded(other)
    rng = np.random.default_rng(7)
    new = [w * rng.uniform(0.5, 1.5, w.shape).astype(np.float32) for w in model.get_weights()]
    model.set_weights(new)
    fold_into(network, model)
    other.set_weights(new)
    images = random_picture(50, 71)[None]
    expected = other(images, training=False).numpy()
    got = network(images, training=False).numpy()
    assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()
