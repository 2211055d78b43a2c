"""Atrous consistency: the dense network, subsampled, equals the strided one (section 3.1).

Strided convolutions pad symmetrically, so a strided map lies on samples 0, 2, 4, ... of the dense
one, for odd and even sizes; a convolution of twice the rate then reads, from each of these, just
the values that the strided network reads, and zeros at the same places. So equality holds up to
the borders, for any multi-grid and both stride placements, and for the ASPP, whose rates scale.
Only image pooling averages over another set of samples, so it is left out.
"""

import dataclasses

import keras
import numpy as np
import pytest
from support.seeded_weights import draw_image, set_seeded_weights

from deeplab_tf.config import Backbone, ModelConfig, StridePlacement
from deeplab_tf.models import build_model, with_output_stride

SIZES = [(65, 97), (64, 50), (97, 64), (33, 2)]
FEATURES = "block4_unit3_relu"


def maps(model):
    """image -> (the backbone's features, the logits before upsampling)."""
    return keras.Model(
        model.input, [model.get_layer(FEATURES).output, model.get_layer("logits").output]
    )


def assert_consistent(model_config, dense_stride, sizes):
    strided = build_model(model_config)
    set_seeded_weights(strided)
    few_samples = maps(strided)
    many_samples = maps(with_output_stride(strided, model_config, dense_stride))
    ratio = model_config.output_stride // dense_stride
    for seed, size in enumerate(sizes):
        image = draw_image(seed, *size)
        for few, many in zip(few_samples(image), many_samples(image), strict=True):
            few = few.numpy()
            # Else the equality would say nothing.
            assert few.std() > 0.1
            subsampled = many.numpy()[:, ::ratio, ::ratio]
            np.testing.assert_allclose(subsampled, few, rtol=0, atol=1e-5 * np.abs(few).max())


@pytest.mark.parametrize(("stride", "dense"), [(16, 4), (32, 8)])
@pytest.mark.parametrize("placement", list(StridePlacement))
@pytest.mark.parametrize("multi_grid", [(1, 1, 1), (1, 2, 4)])
def test_slim_network(stride, dense, placement, multi_grid):
    model_config = ModelConfig(
        backbone=Backbone.RESNET_SLIM,
        output_stride=stride,
        multi_grid=multi_grid,
        image_pooling=False,
        num_classes=7,
        stride_placement=placement,
    )
    assert_consistent(model_config, dense, SIZES)


def test_resnet50():
    model_config = ModelConfig(
        backbone=Backbone.RESNET50, output_stride=16, image_pooling=False, num_classes=21
    )
    assert_consistent(model_config, 8, [(97, 64)])


def test_other_rates_are_not_consistent():
    """The control: the same comparison sees one unit's rate that is wrong."""
    model_config = ModelConfig(
        backbone=Backbone.RESNET_SLIM, output_stride=16, image_pooling=False, num_classes=7
    )
    strided = build_model(model_config)
    set_seeded_weights(strided)
    wrong = dataclasses.replace(model_config, multi_grid=(1, 2, 3))
    dense = with_output_stride(strided, wrong, 8)
    image = draw_image(0, 65, 97)
    few, many = (maps(model)(image)[1].numpy() for model in (strided, dense))
    assert np.abs(many[:, ::2, ::2] - few).max() > 0.01 * np.abs(few).max()
