"""torchvision's MobileNetV3-Large: its names, conventions, number of weights, and logits."""

import numpy as np
import pytest
from support.random_model import random_picture
from support.torch_mobilenet import StateDict, answer

from deeplab_tf.config import Experiment, Head, validate
from deeplab_tf.errors import DeeplabError
from deeplab_tf.models import build_model
from deeplab_tf.models.mobilenet_v3 import plan_units
from deeplab_tf.weights.imported import build_network
from deeplab_tf.weights.torchvision_mobilenet import (
    import_mobilenet_v3,
    is_mobilenet_v3,
    mobilenet_key,
    mobilenet_v3_config,
)

# Read off torchvision's own state dicts.
KEYS = {
    "conv1/kernel": "backbone.0.0.weight",
    "conv1_bn/moving_variance": "backbone.0.1.running_var",
    "block1_unit1_depthwise/kernel": "backbone.1.block.0.0.weight",
    "block1_unit1_project_bn/gamma": "backbone.1.block.1.1.weight",
    "block2_unit1_project/kernel": "backbone.2.block.2.0.weight",
    "block3_unit1_squeeze/kernel": "backbone.4.block.2.fc1.weight",
    "block3_unit1_excite/bias": "backbone.4.block.2.fc2.bias",
    "block3_unit1_project/kernel": "backbone.4.block.3.0.weight",
    "block6_unit3_expand_bn/beta": "backbone.15.block.0.1.bias",
    "block7_unit1_expand/kernel": "backbone.16.0.weight",
    "lr_aspp_conv/kernel": "classifier.cbr.0.weight",
    "lr_aspp_conv_bn/moving_mean": "classifier.cbr.1.running_mean",
    "lr_aspp_gate/kernel": "classifier.scale.1.weight",
    "logits_low/bias": "classifier.low_classifier.bias",
    "logits_high/kernel": "classifier.high_classifier.weight",
    "aspp_atrous3/kernel": "classifier.0.convs.3.0.weight",
    "logits/kernel": "classifier.4.weight",
}
WIDTH, CLASSES = 0.25, 5
PICTURES = [random_picture(33, 65), random_picture(50, 47, seed=1)]


def test_names():
    units = {unit.name: unit for unit in plan_units(mobilenet_v3_config(Head.ASPP))}
    assert {variable: mobilenet_key(variable, units) for variable in KEYS} == KEYS
    for variable in (
        "block1_unit1_expand/kernel",
        "block1_unit1_squeeze/bias",
        "block9_unit1/kernel",
    ):
        with pytest.raises(DeeplabError, match="no tensor for the variable"):
            mobilenet_key(variable, units)


# The auxiliary head that torchvision counts in: a 3x3 from 40 channels to 10 with a batch norm, and
# a 1x1 to 21 classes.
AUXILIARY = 40 * 10 * 9 + 2 * 10 + 10 * 21 + 21


@pytest.mark.parametrize(
    ("head", "published"), [(Head.ASPP, 11_029_328 - AUXILIARY), (Head.LR_ASPP, 3_221_538)]
)
def test_as_many_weights_as_torchvision_publishes(head, published):
    model = build_model(validate(Experiment(model=mobilenet_v3_config(head))).model)
    assert sum(np.prod(variable.shape) for variable in model.trainable_variables) == published


@pytest.fixture(scope="module", params=["deeplabv3", "lraspp", "features"])
def source(request):
    """A network's name, its state dict, and its answers in numpy."""
    state = StateDict()
    answers = [answer(state, request.param, image, WIDTH, CLASSES) for image in PICTURES]
    tensors = dict(state.tensors)
    if request.param == "deeplabv3":
        tensors["aux_classifier.0.weight"] = np.zeros((10, 16, 3, 3))
    if request.param == "features":
        tensors["classifier.3.weight"] = np.zeros((1000, 1280))
    return request.param, tensors, answers


def test_the_answers_are_torchvisions(source):
    name, tensors, answers = source
    assert is_mobilenet_v3(tensors)
    imported = import_mobilenet_v3(tensors, "file")
    model_config = validate(Experiment(model=imported.model_config)).model
    assert model_config.width_multiplier == WIDTH
    assert model_config.num_classes == (None if name == "features" else CLASSES)
    model, report = build_network(imported, "file")
    assert report.unexpected == [] and len(report.loaded) == len(model.weights)
    counters = [key for key in tensors if key.endswith("num_batches_tracked")]
    assert len(report.skipped) == len(counters) + (name != "lraspp")
    for image, expected in zip(PICTURES, answers, strict=True):
        got = model(image[None]).numpy()[0]
        assert np.abs(expected).max() > 0.1 and expected.std() > 0.02
        assert np.abs(got - expected).max() < 1e-5 * max(1.0, np.abs(expected).max())


def test_the_first_unit_of_the_last_block_is_dilated_too():
    def rates(**fields):
        model_config = mobilenet_v3_config(Head.ASPP)
        for name, value in fields.items():
            setattr(model_config, name, value)
        return [(unit.stride, unit.rate) for unit in plan_units(model_config)][-3:]

    assert rates() == [(1, 2), (1, 2), (1, 2)]
    assert rates(early_rates=False) == [(1, 1), (1, 2), (1, 2)]
    assert rates(output_stride=32) == [(2, 1), (1, 1), (1, 1)]


def test_channels_of_no_width_and_missing_tensors_are_named(source):
    _, tensors, _ = source
    prefix = "features" if "features.0.0.weight" in tensors else "backbone"
    wide = {**tensors, f"{prefix}.0.0.weight": np.zeros((24, 3, 3, 3))}
    with pytest.raises(DeeplabError, match="file must be of a MobileNetV3-Large of some width"):
        import_mobilenet_v3(wide, "file")
    part = {key: value for key, value in tensors.items() if not key.startswith(f"{prefix}.9.")}
    with pytest.raises(
        DeeplabError, match="must be of a MobileNetV3|tensors of a mobilenet_v3_large"
    ):
        build_network(import_mobilenet_v3(part, "file"), "file")
