"""Weights of torchvision's `deeplabv3_resnet50` and `deeplabv3_resnet101`, and of its classifiers
`resnet50` and `resnet101`.

Tested in tests/parity/test_torchvision_names.py and tests/parity/test_torchvision_golden.py.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from deeplab_tf.config import (
    Backbone,
    ModelConfig,
    Normalization,
    StridePlacement,
    Upsampling,
)
from deeplab_tf.config.resnet_plan import SPECS
from deeplab_tf.errors import DeeplabError
from deeplab_tf.weights.imported import ImportedWeights, NoRuntimeError, Reference

AUXILIARY_PREFIX = "aux_classifier."
"""The prefix of torchvision's auxiliary head, on layer3."""

COUNTER_SUFFIX = ".num_batches_tracked"
"""The suffix of a step counter in torch's batch norm, which our network does not need."""

LONGEST_SIDE = 693
"""The longest side, in pixels, of a 4:3 photo whose shorter side is 520, torchvision's base size in
training (times 0.5 to 2) and its only size in evaluation."""

_BACKBONE = "backbone."
_SKIPPED = {
    COUNTER_SUFFIX: "a counter",
    ".fc.": "the classifier's",
}

_HEAD = {
    "conv1": "backbone.conv1",
    "conv1_bn": "backbone.bn1",
    "aspp_conv1": "classifier.0.convs.0.0",
    "aspp_conv1_bn": "classifier.0.convs.0.1",
    # convs.4.0 is the pooling, which has no weights.
    "aspp_pool": "classifier.0.convs.4.1",
    "aspp_pool_bn": "classifier.0.convs.4.2",
    "aspp_project": "classifier.0.project.0",
    "aspp_project_bn": "classifier.0.project.1",
    "head_conv": "classifier.1",
    "head_conv_bn": "classifier.2",
    "logits": "classifier.4",
    "auxiliary_conv": "aux_classifier.0",
    "auxiliary_conv_bn": "aux_classifier.1",
    "auxiliary_logits": "aux_classifier.4",
}

PARTS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def torchvision_config(backbone: Backbone, num_classes: int = 21) -> ModelConfig:
    """Returns the network of torchvision's `segmentation.deeplabv3_*`, of output_stride 8."""
    return ModelConfig(
        backbone=backbone,
        output_stride=8,
        multi_grid=(1, 1, 1),
        # Rates are given for output_stride 16; at 8 these are torchvision's (12, 24, 36).
        aspp_rates=(6, 12, 18),
        image_pooling=True,
        num_classes=num_classes,
        stride_placement=StridePlacement.FIRST_UNIT,
        normalization=Normalization.MEAN_STD,
        upsampling=Upsampling.HALF_PIXEL,
        # torch's momentum, 0.1, weighs the new batch; Keras' momentum weighs the old statistics.
        batch_norm_momentum=0.9,
        batch_norm_epsilon=1e-5,
        head_conv=True,
        aspp_dropout=0.5,
    )


def torch_key(variable: str) -> str:
    """Returns the state-dict key of our variable, given by its Keras `path`.

    Args:
        variable: the path, e.g. `block3_unit5_conv2_bn/gamma`.

    Raises:
        DeeplabError: torchvision's network has no such tensor.
    """
    layer, _, part = variable.partition("/")
    module = _HEAD.get(layer) or _atrous_module(layer) or _unit_module(layer)
    if module is None or part not in PARTS:
        raise DeeplabError(f"torchvision's deeplabv3 has no tensor for the variable {variable!r}")
    return f"{module}.{PARTS[part]}"


def from_torch_layout(array: np.ndarray) -> np.ndarray:
    """Returns a kernel OIHW as HWIO, and any other array as it is."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array


def import_state_dict(state: Mapping[str, np.ndarray], what: str) -> ImportedWeights:
    """Returns torchvision's state dict of a ResNet, given as numpy arrays, as our weights.

    A classifier gives a backbone.

    Raises:
        DeeplabError: the state dict is of no ResNet-50 or -101; the message names `what`.
    """
    segmenter = any(key.startswith(_BACKBONE) for key in state)
    prefix = _BACKBONE if segmenter else ""
    backbone = _backbone_of(state, prefix)
    if backbone is None:
        raise DeeplabError(
            f"{what} is of no network of torchvision that is known here (resnet50, resnet101, "
            "mobilenet_v3_large, deeplabv3 of the three, and lraspp of the last): it has "
            f"{', '.join(list(state)[:3]) or 'no tensors'}, ..."
        )
    tensors, skipped = split_state(state, _SKIPPED)
    model_config = torchvision_config(backbone)
    if segmenter:
        bias = tensors.get("classifier.4.bias", np.empty(0))
        model_config = dataclasses.replace(model_config, num_classes=max(2, bias.size))
    else:
        model_config = dataclasses.replace(model_config, num_classes=None, output_stride=32)
    return ImportedWeights(
        model_config,
        tensors,
        lambda path: torch_key(path) if segmenter else torch_key(path).removeprefix(_BACKBONE),
        skipped,
        lambda: _run_torchvision(state, model_config),
        auxiliary_reference=(
            (lambda: _run_torchvision(state, model_config, "aux")) if has_auxiliary(state) else None
        ),
        longest_side=LONGEST_SIDE,
    )


def has_auxiliary(state: Mapping[str, np.ndarray]) -> bool:
    """Returns whether a state dict has torchvision's auxiliary head."""
    return any(key.startswith(AUXILIARY_PREFIX) for key in state)


def split_state(
    state: Mapping[str, np.ndarray], left_out: Mapping[str, str]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Returns the tensors of a state dict in our layout, and the names of those that are left out.

    Args:
        state: the state dict.
        left_out: maps what occurs in a name, with a dot before it, to the reason to leave it out.
    """
    skipped, tensors = [], {}
    for key, value in state.items():
        reason = next((why for mark, why in left_out.items() if mark in f".{key}"), None)
        if reason:
            skipped.append(f"{key} ({reason})")
        else:
            tensors[key] = from_torch_layout(np.asarray(value))
    return tensors, skipped


def _backbone_of(state: Mapping[str, np.ndarray], prefix: str) -> Backbone | None:
    """Returns the backbone by the units of each layer and the width of conv1; None if unknown."""
    unit = re.compile(rf"{re.escape(prefix)}layer(\d)\.(\d+)\.")
    found = {match.groups() for match in map(unit.match, state) if match}
    units = tuple(sum(layer == str(n) for layer, _ in found) for n in range(1, 5))
    width = len(state.get(f"{prefix}conv1.weight", ()))
    bottleneck = f"{prefix}layer1.0.conv3.weight" in state
    fits = [b for b, spec in SPECS.items() if (spec.units, spec.width) == (units, width)]
    return fits[0] if fits and bottleneck else None


def _run_torchvision(
    state: Mapping[str, np.ndarray], model_config: ModelConfig, output: str = "out"
) -> Reference:
    """Returns torchvision's network with `state`, which gives logits or a classifier's last map.

    The logits are those of the last layer (`output` is `out`) or of the auxiliary head (`aux`).
    """
    try:
        import torch  # pyright: ignore[reportMissingImports]
        from torchvision.models import (  # pyright: ignore[reportMissingImports]
            _utils,
            resnet,
            segmentation,
        )
    except ImportError as error:
        raise NoRuntimeError("pip install torch torchvision") from error
    tensors = {key: torch.from_numpy(np.array(value)) for key, value in state.items()}
    if model_config.num_classes is None:
        classes = len(state["fc.weight"]) if "fc.weight" in state else 1000
        network = getattr(resnet, model_config.backbone)(weights=None, num_classes=classes)
        network.load_state_dict(tensors, strict="fc.weight" in state)
        network = _utils.IntermediateLayerGetter(network, {"layer4": "out"})
    else:
        network = getattr(segmentation, f"deeplabv3_{model_config.backbone}")(
            weights=None,
            weights_backbone=None,
            num_classes=model_config.num_classes,
            aux_loss=has_auxiliary(state),
        )
        network.load_state_dict(tensors)
    return as_reference(network, output, segments=model_config.num_classes is not None)


def as_reference(network: Any, output: str = "out", *, segments: bool) -> Reference:
    """Returns a torch module with torchvision's normalisation before it, in evaluation mode.

    Args:
        network: a module that gives a dict of logits or, unless it `segments`, features.
        output: the entry of the dict that is taken.
        segments: whether labels are the largest logits.
    """
    import torch  # pyright: ignore[reportMissingImports]

    network.eval()
    mean, std = (
        torch.tensor(values).reshape(1, 3, 1, 1)
        for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )

    def run(image: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
        pixels = torch.from_numpy(image.transpose(0, 3, 1, 2).astype(np.float32) / 255)
        with torch.inference_mode():
            found = network((pixels - mean) / std)[output].numpy().transpose(0, 2, 3, 1)
        return found.argmax(axis=-1) if segments else None, found

    return run


def _atrous_module(layer: str) -> str | None:
    """Returns torchvision's name of an atrous branch; None for other layers.

    `aspp_atrous2` is convs.2, since convs.0 is the 1x1 branch.
    """
    match = re.fullmatch(r"aspp_atrous(\d+)(_bn)?", layer)
    return match and f"classifier.0.convs.{match[1]}.{1 if match[2] else 0}"


def _unit_module(layer: str) -> str | None:
    """Returns torchvision's name of a layer of a unit; None for other layers.

    `block3_unit5_conv2` is layer3.4.conv2, `block3_unit5_conv2_bn` is layer3.4.bn2, and the
    shortcut is layer3.4.downsample.
    """
    match = re.fullmatch(r"block(\d)_unit(\d+)_(?:conv(\d)|shortcut)(_bn)?", layer)
    if match is None:
        return None
    block, unit, conv, norm = match.groups()
    if conv is None:
        module = f"downsample.{1 if norm else 0}"
    else:
        module = f"bn{conv}" if norm else f"conv{conv}"
    return f"backbone.layer{block}.{int(unit) - 1}.{module}"
