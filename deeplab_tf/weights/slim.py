"""Weights from TensorFlow 1 checkpoints of TF-Slim's ResNets and the original DeepLab, by name.

ResNet-v1-50 and -101 may be TF-Slim's own or the "beta" form with three 3x3 convolutions at the
root, each as a classifier (which gives a backbone) or as DeepLab's segmentation network.
MobileNetV2 is DeepLab's, with the light head. TF-Slim pads as we do except for SAME at even sizes,
at which TF-Slim's networks are not run, so images with sides of k * 32 + 1 are compared.
"""

import dataclasses
import pathlib
import re

import numpy as np

from deeplab_tf.config import Backbone, Head, ModelConfig, Normalization
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.models.mobilenet_v2 import BLOCKS, width_of
from deeplab_tf.weights.imported import ImportedWeights
from deeplab_tf.weights.slim_graph import run_slim

FRAME = (257, 257)
CROP = 513
"""The side of DeepLab's training crops and the longest side to which its releases shrink photos."""
"""The side, in pixels, of DeepLab's training crop; its evaluation pads images to that side."""

_RESNETS = {"resnet_v1_50": Backbone.RESNET50, "resnet_v1_101": Backbone.RESNET101}
_MOBILENET = "MobilenetV2"

_PARTS = {"kernel": "weights", "bias": "biases"}
_HEAD = {
    "aspp_conv1": "aspp0",
    "aspp_pool": "image_pooling",
    "aspp_project": "concat_projection",
    "logits": "logits/semantic",
}

_SKIPPED = {
    r"(^|/)global_step$": "a counter",
    r"/(Momentum|RMSProp(_\d)?|Adam(_\d)?|ExponentialMovingAverage)$": "the optimiser's",
    r"^resnet_v1_\d+/logits/": "the classifier's",
    r"^resnet_v1_\d+/mean_rgb$": "normalisation, which the config has",
    r"^MobilenetV2/(Conv_1|Logits)/": "the classifier's",
}


def read_slim(path: pathlib.Path) -> ImportedWeights:
    """Reads a TensorFlow checkpoint, given by its path with or without `.index`.

    Raises:
        DeeplabError: there is no such checkpoint, or it is damaged or not of a network known here.
    """
    import tensorflow as tf

    prefix = pathlib.Path(str(path).removesuffix(".index"))
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        shapes = reader.get_variable_to_shape_map()
        arrays = {name: np.asarray(reader.get_tensor(name)) for name in sorted(shapes)}
    except (ValueError, tf.errors.OpError) as error:
        raise DeeplabError(
            f"{prefix} is not a TensorFlow checkpoint that can be read (give its path without "
            f".index or .data): {one_line(str(error))[:200]}"
        ) from error
    return import_variables(arrays, str(path))


def import_variables(arrays: dict[str, np.ndarray], what: str) -> ImportedWeights:
    """Returns TF-Slim's variables, given by name, as weights for our network.

    Raises:
        DeeplabError: the variables are of no network known here; the message names `what`.
    """
    skipped, tensors = [], {}
    for name, value in arrays.items():
        reason = next((why for mark, why in _SKIPPED.items() if re.search(mark, name)), None)
        if reason:
            skipped.append(f"{name} ({reason})")
        else:
            tensors[name] = value
    scope, model_config = _scope_and_network(tensors, what)
    if model_config.num_classes is not None and "image_pooling/weights" in tensors:
        _put_pooling_last(tensors)
    return ImportedWeights(
        model_config,
        tensors,
        lambda path: slim_name(path, scope),
        skipped,
        lambda: run_slim(arrays, scope, model_config),
        frame=FRAME,
        pad_to=None if model_config.num_classes is None else CROP,
        longest_side=CROP,
    )


def slim_name(path: str, scope: str) -> str:
    """Returns TF-Slim's name of our variable `path`, e.g. `block3_unit5_conv2_bn/gamma`.

    Args:
        path: the variable's Keras path.
        scope: TF-Slim's variable scope of the backbone, e.g. `resnet_v1_50`.
    """
    layer, _, part = path.partition("/")
    convolution = layer.removesuffix("_bn")
    module = _HEAD.get(convolution) or _module(convolution, scope)
    if layer.endswith("_bn"):
        return f"{module}/BatchNorm/{part}"
    if module.endswith("/depthwise"):
        return f"{module}/depthwise_weights"
    return f"{module}/{_PARTS[part]}"


def _module(convolution: str, scope: str) -> str:
    if match := re.fullmatch(r"aspp_atrous(\d+)", convolution):
        return f"aspp{match[1]}"
    if scope == _MOBILENET:
        if convolution == "conv1":
            return f"{scope}/Conv"
        match = re.fullmatch(r"block(\d)_unit(\d)_(expand|depthwise|project)", convolution)
        assert match, convolution
        index = sum(block.units for block in BLOCKS[: int(match[1]) - 1]) + int(match[2]) - 1
        return f"{scope}/expanded_conv{f'_{index}' if index else ''}/{match[3]}"
    if match := re.fullmatch(r"(block\d)_unit(\d+)_(conv\d|shortcut)", convolution):
        return f"{scope}/{match[1]}/unit_{match[2]}/bottleneck_v1/{match[3]}"
    return f"{scope}/{convolution}"


def _scope_and_network(tensors: dict[str, np.ndarray], what: str) -> tuple[str, ModelConfig]:
    """Returns the backbone's scope, and the network in DeepLab's conventions for that backbone."""
    scopes = [name.partition("/")[0] for name in tensors]
    scope = next((s for s in scopes if s in _RESNETS or s == _MOBILENET), None)
    if scope is None:
        raise DeeplabError(
            f"{what} is of no network known here (resnet_v1_50, resnet_v1_101, MobilenetV2): it "
            f"has {', '.join(list(tensors)[:3]) or 'no variables'}, ..."
        )
    if scope == _MOBILENET:
        width, divisor = _mobilenet_width(tensors, what)
        model_config = ModelConfig(
            backbone=Backbone.MOBILENET_V2,
            width_multiplier=width,
            channel_divisor=divisor,
            multi_grid=(1, 1, 1),
            normalization=Normalization.SYMMETRIC,
        )
    else:
        beta = f"{scope}/conv1_1/weights" in tensors
        model_config = ModelConfig(
            backbone=_RESNETS[scope],
            deep_root=beta,
            multi_grid=(1, 1, 1),
            normalization=Normalization.SYMMETRIC if beta else Normalization.MEAN_SUBTRACTION,
        )
    bias = tensors.get("logits/semantic/biases")
    if bias is None:
        return scope, dataclasses.replace(model_config, output_stride=32)
    rates = tuple(6 * index for index in (1, 2, 3, 4) if f"aspp{index}/weights" in tensors)
    return scope, dataclasses.replace(
        model_config,
        head=Head.ASPP if "aspp0/weights" in tensors else Head.NONE,
        aspp_rates=rates,
        image_pooling="image_pooling/weights" in tensors,
        num_classes=bias.size,
    )


def _mobilenet_width(tensors: dict[str, np.ndarray], what: str) -> tuple[float, int]:
    names = [slim_name(f"block{number}_unit1_project/kernel", _MOBILENET) for number in range(1, 8)]
    channels = [tensors[name].shape[-1] for name in names if name in tensors]
    found = width_of(channels)
    if found is None:
        raise DeeplabError(
            f"{what}: a MobileNetV2 of any width has no blocks of {channels} channels"
        )
    return found


def _put_pooling_last(tensors: dict[str, np.ndarray]) -> None:
    """Reorders the input channels of the projection from DeepLab's order to ours, in place.

    DeepLab concatenates image pooling first; our order is the 1x1 branch, the atrous branches, then
    image pooling.
    """
    kernel = tensors["concat_projection/weights"]
    pooled = tensors["image_pooling/weights"].shape[-1]
    tensors["concat_projection/weights"] = np.concatenate(
        [kernel[:, :, pooled:], kernel[:, :, :pooled]], axis=2
    )
