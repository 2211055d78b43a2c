"""Names and layouts of torchvision's tensors, without torch."""

import dataclasses

import numpy as np
import pytest
from support.seeded_weights import draw

from deeplab_tf.config import Backbone
from deeplab_tf.errors import DeeplabError
from deeplab_tf.models import build_model
from deeplab_tf.models.auxiliary import with_auxiliary, without_auxiliary
from deeplab_tf.weights.imported import build_network
from deeplab_tf.weights.torchvision import import_state_dict, torch_key, torchvision_config

# Read off torchvision's own state dict.
KEYS = {
    "conv1/kernel": "backbone.conv1.weight",
    "conv1_bn/moving_variance": "backbone.bn1.running_var",
    "block1_unit1_shortcut/kernel": "backbone.layer1.0.downsample.0.weight",
    "block1_unit1_shortcut_bn/gamma": "backbone.layer1.0.downsample.1.weight",
    "block3_unit23_conv2/kernel": "backbone.layer3.22.conv2.weight",
    "block3_unit23_conv2_bn/moving_mean": "backbone.layer3.22.bn2.running_mean",
    "block4_unit3_conv3_bn/beta": "backbone.layer4.2.bn3.bias",
    "aspp_conv1/kernel": "classifier.0.convs.0.0.weight",
    "aspp_atrous3/kernel": "classifier.0.convs.3.0.weight",
    "aspp_atrous3_bn/gamma": "classifier.0.convs.3.1.weight",
    "aspp_pool/kernel": "classifier.0.convs.4.1.weight",
    "aspp_pool_bn/beta": "classifier.0.convs.4.2.bias",
    "aspp_project/kernel": "classifier.0.project.0.weight",
    "aspp_project_bn/gamma": "classifier.0.project.1.weight",
    "head_conv/kernel": "classifier.1.weight",
    "head_conv_bn/gamma": "classifier.2.weight",
    "logits/kernel": "classifier.4.weight",
    "logits/bias": "classifier.4.bias",
    "auxiliary_conv/kernel": "aux_classifier.0.weight",
    "auxiliary_conv_bn/moving_mean": "aux_classifier.1.running_mean",
    "auxiliary_logits/kernel": "aux_classifier.4.weight",
    "auxiliary_logits/bias": "aux_classifier.4.bias",
}


@pytest.fixture(scope="module")
def model():
    return build_model(torchvision_config(Backbone.RESNET_SLIM, num_classes=5))


def torch_state(network):
    """What torch would hold: OIHW kernels under its own names, and a counter."""
    tensors = {"backbone.bn1.num_batches_tracked": np.array(7)}
    for variable in network.weights:
        value = draw(variable.path, variable.shape)
        key = torch_key(variable.path)
        tensors[key] = np.einsum("hwio->oihw", value) if value.ndim == 4 else value
    return tensors


@pytest.fixture(scope="module")
def state(model):
    return torch_state(model)


def test_names():
    assert {variable: torch_key(variable) for variable in KEYS} == KEYS


def test_unknown_names():
    for variable in ("block5_unit/kernel", "conv1/depth", "conv1"):
        with pytest.raises(DeeplabError, match=f"no tensor for the variable '{variable}'"):
            torch_key(variable)


def test_loads_every_tensor_transposed(state):
    imported = import_state_dict(state, "file")
    model, report = build_network(imported, "file")
    assert imported.model_config == torchvision_config(Backbone.RESNET_SLIM, num_classes=5)
    assert report.skipped == ["backbone.bn1.num_batches_tracked (a counter)"]
    assert (len(report.loaded), report.unexpected) == (len(model.weights), [])
    for variable in model.weights:
        np.testing.assert_array_equal(variable, draw(variable.path, variable.shape))


def test_the_auxiliary_head_is_taken_with_the_network(model):
    network = with_auxiliary(model, torchvision_config(Backbone.RESNET_SLIM, num_classes=5))
    state = torch_state(network)
    assert state["aux_classifier.0.weight"].shape == (64, 256, 3, 3)  # a quarter of layer3's 256
    assert state["aux_classifier.4.weight"].shape == (5, 64, 1, 1)
    found, report = build_network(import_state_dict(state, "file"), "file")
    assert (len(report.loaded), report.unexpected) == (len(network.weights), [])
    assert len(network.weights) == len(model.weights) + 7
    for variable in found.weights:
        np.testing.assert_array_equal(variable, draw(variable.path, variable.shape))
    assert without_auxiliary(found).output_shape == (None, None, None, 5)
    del state["aux_classifier.1.weight"]
    with pytest.raises(DeeplabError, match="the first is 'aux_classifier.1.weight'"):
        build_network(import_state_dict(state, "file"), "file")


def test_a_classifier_gives_a_backbone(state):
    classifier = {
        key.removeprefix("backbone."): value
        for key, value in state.items()
        if key.startswith("backbone.")
    }
    classifier["fc.weight"] = np.zeros((1000, 512))
    imported = import_state_dict(classifier, "file")
    model, report = build_network(imported, "file")
    assert imported.model_config.num_classes is None and model.output_shape[-1] == 512
    assert "fc.weight (the classifier's)" in report.skipped
    kernel = model.get_layer("block4_unit3_conv2").kernel
    np.testing.assert_array_equal(kernel, draw("block4_unit3_conv2/kernel", kernel.shape))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"classifier.4.weight": None},
            "file must have all 167 tensors of a resnet_slim. Missing: 1, the first is "
            "'classifier.4.weight'",
        ),
        (
            {"classifier.4.weight": np.zeros((21, 64, 1, 1))},
            r"'classifier.4.weight' has shape \(1, 1, 64, 21\).*'logits/kernel' .* \(1, 1, 64, 5\)",
        ),
        (
            {"classifier.4.bias": np.full(5, np.nan)},
            "'classifier.4.bias' holds numbers that are not",
        ),
        ({"backbone.conv1.weight": np.zeros((9, 3, 7, 7))}, "file is of no network of torchvision"),
    ],
)
def test_faults_are_named(state, change, message):
    changed = {key: value for key, value in {**state, **change}.items() if value is not None}
    with pytest.raises(DeeplabError, match=message):
        build_network(import_state_dict(changed, "file"), "file")


def test_what_is_not_known_is_listed(state):
    imported = import_state_dict({**state, "neck.weight": np.zeros(3)}, "file")
    assert build_network(imported, "file")[1].unexpected == ["neck.weight"]


def test_config_is_torchvisions():
    model_config = torchvision_config(Backbone.RESNET50)
    fields = dataclasses.asdict(model_config)
    assert fields["output_stride"] == 8 and fields["num_classes"] == 21
    # torch's BatchNorm2d: momentum 0.1 of the new value.
    assert fields["batch_norm_momentum"] == 0.9 and fields["batch_norm_epsilon"] == 1e-5
