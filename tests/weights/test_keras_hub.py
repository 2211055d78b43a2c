"""keras-hub's networks: names, what is read of their forms, and their logits."""

import sys
import types

import keras
import numpy as np
import pytest
from support.keras_hub_networks import segmenter
from support.random_model import random_picture

from deeplab_tf.config import Experiment, Normalization, validate
from deeplab_tf.errors import DeeplabError
from deeplab_tf.weights.imported import build_network
from deeplab_tf.weights.keras_hub import import_segmenter, keras_hub_name, read_keras_hub

# Read off keras-hub's own layers.
NAMES = {
    "conv1/kernel": "conv1_conv/kernel",
    "conv1_bn/gamma": "conv1_bn/gamma",
    "block1_unit1_shortcut/kernel": "stack0_block0_0_conv/kernel",
    "block3_unit23_conv2_bn/beta": "stack2_block22_2_bn/beta",
    "aspp_conv1_bn/gamma": "aspp_bn_1/gamma",
    "aspp_atrous3/kernel": "aspp_conv_4/kernel",
    "aspp_pool_bn/beta": "bn_pooling/beta",
    "aspp_project/kernel": "conv_projection/kernel",
    "decoder_project_bn/moving_mean": "decoder_norm/moving_mean",
    "decoder_conv1/kernel": "segmentation_head_conv/kernel",
    "logits/kernel": "segmentation_output/kernel",
}


def test_names():
    assert {ours: keras_hub_name(ours) for ours in NAMES} == NAMES
    with pytest.raises(DeeplabError, match="no tensor for the variable 'head_conv/kernel'"):
        keras_hub_name("head_conv/kernel")


@pytest.fixture(scope="module", params=["DeepLabV3", "DeepLabV3Plus"])
def network(request):
    return segmenter(request.param == "DeepLabV3Plus", classes=5)


def test_the_logits_are_keras_hubs(network):
    imported = import_segmenter(network, "file")
    model_config = validate(Experiment(model=imported.model_config)).model
    plus = network.backbone.low_level_feature_key is not None
    assert (model_config.decoder_kernels, model_config.decoder_channels) == ((1,), 48 * plus)
    assert model_config.output_stride == 32 and model_config.aspp_rates == (12, 24, 36)
    assert model_config.normalization is Normalization.MEAN_STD
    model, report = build_network(imported, "file")
    assert report.unexpected == [] and len(report.loaded) == len(model.weights)
    mean, std = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))
    for size in ((64, 96), (32, 32)):
        image = random_picture(*size)[None]
        expected = np.asarray(network.model(((image / 255 - mean) / std).astype(np.float32)))
        got = model(image).numpy()
        assert expected.shape == got.shape == (1, *size, 5) and expected.std() > 0.02
        assert np.abs(got - expected).max() < 1e-4 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize(
    ("where", "change", "message"),
    [
        ("backbone", {"spatial_pyramid_pooling_key": "P4"}, "pooling_key must be P5. Received: P4"),
        ("backbone", {"low_level_feature_key": "P3"}, "low_level_feature_key must be P2"),
        ("backbone", {"upsampling_size": (8, 4)}, r"upsampling_size must be 8. Received: \(8, 4\)"),
        ("encoder", {"block_type": "basic_block"}, "file must have the ResNetBackbone of a ResNet"),
        ("encoder", {"use_pre_activation": True}, "must have the ResNetBackbone of a ResNet-50"),
        ("encoder", {"stackwise_num_blocks": [2, 2, 2, 2]}, "must have the ResNetBackbone"),
        ("converter", {"scale": 0.5}, "must have a scale and an offset of config.model.normal"),
    ],
)
def test_forms_that_ours_has_not_are_refused(network, where, change, message, monkeypatch):
    held = {
        "backbone": network.backbone,
        "encoder": network.backbone.image_encoder,
        "converter": network.preprocessor.image_converter,
    }
    for name, value in change.items():
        monkeypatch.setattr(held[where], name, value)
    with pytest.raises(DeeplabError, match=message):
        import_segmenter(network, "file")


@pytest.mark.parametrize(
    ("converter", "normalization"),
    [
        (None, Normalization.PIXELS),
        (types.SimpleNamespace(scale=1 / 255, offset=None), Normalization.UNIT),
        (types.SimpleNamespace(scale=1 / 127.5, offset=-1.0), Normalization.SYMMETRIC),
    ],
)
def test_image_converters(network, converter, normalization, monkeypatch):
    monkeypatch.setattr(network.preprocessor, "image_converter", converter)
    assert import_segmenter(network, "file").model_config.normalization is normalization


def test_what_is_no_network_of_keras_hub_is_one_line(monkeypatch, tmp_path):
    path = tmp_path / "a.keras"
    with pytest.raises(DeeplabError, match="a.keras does not exist"):
        read_keras_hub(path)
    path.write_bytes(b"nothing")
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(DeeplabError, match="pip install keras-hub"):
        read_keras_hub(path)
    models = types.SimpleNamespace(DeepLabV3ImageSegmenter=types.SimpleNamespace)
    monkeypatch.setitem(sys.modules, "keras_hub", types.SimpleNamespace(models=models))
    with pytest.raises(DeeplabError, match="a.keras is not a network of keras-hub"):
        read_keras_hub(path)
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(path)
    with pytest.raises(DeeplabError, match="must hold a keras_hub.*Received: Sequential"):
        read_keras_hub(path)
