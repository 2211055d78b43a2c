"""Weights of torchvision's `deeplabv3_mobilenet_v3_large` and `lraspp_mobilenet_v3_large`, and of
its classifier `mobilenet_v3_large`, of any width.
"""

import re
from collections.abc import Mapping

import numpy as np

from deeplab_tf.config import Backbone, Head, ModelConfig, Normalization, Upsampling
from deeplab_tf.errors import DeeplabError
from deeplab_tf.models.mobilenet_v2 import width_of
from deeplab_tf.models.mobilenet_v3 import BLOCKS, CHANNELS, MobileNetV3Unit, plan_units
from deeplab_tf.weights.imported import ImportedWeights, NoRuntimeError, Reference
from deeplab_tf.weights.torchvision import (
    AUXILIARY_PREFIX,
    COUNTER_SUFFIX,
    LONGEST_SIDE,
    PARTS,
    as_reference,
    has_auxiliary,
    split_state,
    torch_key,
)

_LAST = 1 + sum(map(len, BLOCKS))
"""The number of the last convolution among torchvision's `features`, after the units."""

_LEFT_OUT = {
    f".{AUXILIARY_PREFIX}": "the auxiliary head, for torchvision's training",
    COUNTER_SUFFIX: "a counter",
}
_CLASSIFIERS = {".classifier.": "the classifier's"}

_LR_ASPP = {
    "lr_aspp_conv": "classifier.cbr.0",
    "lr_aspp_conv_bn": "classifier.cbr.1",
    "lr_aspp_gate": "classifier.scale.1",
    "logits_low": "classifier.low_classifier",
    "logits_high": "classifier.high_classifier",
}


def mobilenet_v3_config(
    head: Head, num_classes: int | None = 21, width: float = 1.0
) -> ModelConfig:
    """Returns the network of torchvision's `segmentation.*_mobilenet_v3_large`.

    Without classes the network is the classifier's backbone, of output_stride 32.
    """
    has_aspp = head is Head.ASPP
    return ModelConfig(
        backbone=Backbone.MOBILENET_V3_LARGE,
        width_multiplier=width,
        output_stride=32 if num_classes is None else 16,
        early_rates=num_classes is not None,
        multi_grid=(1, 1, 1),
        head=head,
        # DeepLabHead has these rates at any stride; its ResNets have them at 8.
        aspp_rates=(12, 24, 36),
        num_classes=num_classes,
        normalization=Normalization.MEAN_STD,
        upsampling=Upsampling.HALF_PIXEL,
        # That of the backbone; the head's would be 0.9.
        batch_norm_momentum=0.99,
        batch_norm_epsilon=1e-5,
        head_conv=has_aspp,
        aspp_dropout=0.5 if has_aspp else 0.0,
    )


def is_mobilenet_v3(state: Mapping[str, np.ndarray]) -> bool:
    """Returns whether a state dict has the layers of torchvision's MobileNetV3-Large."""
    return any(f"{prefix}.{_LAST}.0.weight" in state for prefix in ("backbone", "features"))


def mobilenet_key(variable: str, units: Mapping[str, MobileNetV3Unit]) -> str:
    """Returns the state-dict key of our variable, given by its Keras `path`.

    Args:
        variable: the path, e.g. `block3_unit1_expand_bn/gamma`.
        units: the units of the backbone by their names.

    Raises:
        DeeplabError: torchvision's networks have no such tensor.
    """
    layer, _, part = variable.partition("/")
    module = _LR_ASPP.get(layer) or _backbone_module(layer, units)
    return f"{module}.{PARTS[part]}" if module and part in PARTS else torch_key(variable)


def import_mobilenet_v3(state: Mapping[str, np.ndarray], what: str) -> ImportedWeights:
    """Returns torchvision's state dict, given as numpy arrays, as weights for our network.

    A classifier gives a backbone.

    Raises:
        DeeplabError: the widths of the blocks are those of no width multiplier; the message names
            `what`.
    """
    segments = f"backbone.{_LAST}.0.weight" in state
    prefix = "backbone" if segments else "features"
    width = _width(state, prefix)
    if width is None:
        raise DeeplabError(
            f"{what} must be of a MobileNetV3-Large of some width; its blocks have other channels "
            "than any multiple of the paper's"
        )
    tensors, skipped = split_state(state, _LEFT_OUT if segments else {**_LEFT_OUT, **_CLASSIFIERS})
    lr_aspp = "classifier.low_classifier.bias" in state
    bias = state.get("classifier.low_classifier.bias" if lr_aspp else "classifier.4.bias", ())
    model_config = mobilenet_v3_config(
        Head.LR_ASPP if lr_aspp else Head.ASPP, max(2, len(bias)) if segments else None, width
    )
    units = {unit.name: unit for unit in plan_units(model_config)}

    def name_of(path: str) -> str:
        return re.sub("^backbone", prefix, mobilenet_key(path, units))

    for key in (name_of(f"{unit}_depthwise/kernel") for unit in units):
        if key in tensors:
            # Each channel is an output of one input to torch, and an input of one output to Keras.
            tensors[key] = tensors[key].swapaxes(2, 3)
    return ImportedWeights(
        model_config,
        tensors,
        name_of,
        skipped,
        lambda: _run_torchvision(state, model_config),
        longest_side=LONGEST_SIDE,
    )


def _width(state: Mapping[str, np.ndarray], prefix: str) -> float | None:
    """Returns the width multiplier by the output channels of conv1 and of each block's units."""
    ends = [0, *(sum(map(len, BLOCKS[:n])) for n in range(1, len(BLOCKS) + 1))]
    # The last part of a unit is the 1x1 convolution to its output channels.
    last_parts = [f"{prefix}.0.0.weight"]
    for end in ends[1:]:
        parts = [
            int(match[1])
            for key in state
            if (match := re.match(rf"{prefix}\.{end}\.block\.(\d+)\.", key))
        ]
        last_parts.append(f"{prefix}.{end}.block.{max(parts, default=0)}.0.weight")
    channels = [len(state.get(key, ())) for key in last_parts]
    found = width_of(channels, CHANNELS)
    return found[0] if found and found[1] == 8 else None


def _backbone_module(layer: str, units: Mapping[str, MobileNetV3Unit]) -> str | None:
    """Returns torchvision's name of a layer of the backbone; None for other layers.

    `block3_unit1_expand` is backbone.4.block.0.0, and its batch norm backbone.4.block.0.1. The
    depthwise convolution, squeeze and excitation, and the last 1x1 are the next of `block`.
    """
    ends = {"conv1": 0, "block7_unit1_expand": _LAST}
    name = layer.removesuffix("_bn")
    norm = int(name != layer)
    if name in ends:
        return f"backbone.{ends[name]}.{norm}"
    match = re.fullmatch(r"(block\d_unit\d)_(expand|depthwise|squeeze|excite|project)", name)
    if match is None or match[1] not in units:
        return None
    unit = units[match[1]]
    there = {"expand": unit.expands, "depthwise": True, "gate": unit.squeezed, "project": True}
    parts = [name for name, is_there in there.items() if is_there]
    inside = {"squeeze": "fc1", "excite": "fc2"}.get(match[2])
    part = "gate" if inside else match[2]
    if part not in parts:
        return None
    module = f"backbone.{list(units).index(unit.name) + 1}.block.{parts.index(part)}"
    return f"{module}.{inside or norm}"


def _run_torchvision(state: Mapping[str, np.ndarray], model_config: ModelConfig) -> Reference:
    """Returns torchvision's network with `state`, which gives logits or a classifier's last map."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
        from torchvision.models import (  # pyright: ignore[reportMissingImports]
            _utils,
            mobilenetv3,
            segmentation,
        )
    except ImportError as error:
        raise NoRuntimeError("pip install torch torchvision") from error
    tensors = {key: torch.from_numpy(np.array(value)) for key, value in state.items()}
    if model_config.num_classes is not None:
        if model_config.width_multiplier != 1:
            raise NoRuntimeError("torchvision's networks for segmentation have width 1 only")
        lr_aspp = model_config.head is Head.LR_ASPP
        network = getattr(
            segmentation, f"{'lraspp' if lr_aspp else 'deeplabv3'}_mobilenet_v3_large"
        )(
            weights=None,
            weights_backbone=None,
            num_classes=model_config.num_classes,
            **({} if lr_aspp else {"aux_loss": has_auxiliary(state)}),
        )
        network.load_state_dict(tensors)
        return as_reference(network, segments=True)
    classifier = mobilenetv3.mobilenet_v3_large(
        weights=None, width_mult=model_config.width_multiplier
    )
    features = {
        key.removeprefix("features."): value
        for key, value in tensors.items()
        if key.startswith("features.")
    }
    classifier.features.load_state_dict(features)
    last_map = _utils.IntermediateLayerGetter(classifier.features, {str(_LAST): "out"})
    return as_reference(last_map, segments=False)
