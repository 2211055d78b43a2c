"""torchvision's `deeplabv3_resnet50` and `_resnet101`: conventions and names of tensors."""

import re
from collections.abc import Mapping

import keras
import numpy as np

from deeplab_tf.config import (
    Backbone,
    ModelConfig,
    Normalization,
    StridePlacement,
    Upsampling,
)
from deeplab_tf.errors import DeeplabError

AUXILIARY_PREFIX = "aux_classifier."
"""torchvision's second head, on layer3, which serves its training alone."""

COUNTER_SUFFIX = ".num_batches_tracked"
"""A step counter of torch's batch norm; nothing of ours depends on it."""

_HEAD = {
    "conv1": "backbone.conv1",
    "conv1_bn": "backbone.bn1",
    "aspp_conv1": "classifier.0.convs.0.0",
    "aspp_conv1_bn": "classifier.0.convs.0.1",
    # convs.4.0 is the pooling.
    "aspp_pool": "classifier.0.convs.4.1",
    "aspp_pool_bn": "classifier.0.convs.4.2",
    "aspp_project": "classifier.0.project.0",
    "aspp_project_bn": "classifier.0.project.1",
    "head_conv": "classifier.1",
    "head_conv_bn": "classifier.2",
    "logits": "classifier.4",
}

_PARTS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def torchvision_config(backbone: Backbone, num_classes: int = 21) -> ModelConfig:
    """The network of torchvision's `segmentation.deeplabv3_*`, which has output_stride 8."""
    return ModelConfig(
        backbone=backbone,
        output_stride=8,
        multi_grid=(1, 1, 1),
        # Given for output_stride 16; at 8 they are torchvision's (12, 24, 36).
        aspp_rates=(6, 12, 18),
        image_pooling=True,
        num_classes=num_classes,
        stride_placement=StridePlacement.FIRST_UNIT,
        normalization=Normalization.MEAN_STD,
        upsampling=Upsampling.HALF_PIXEL,
        # torch's momentum 0.1 is the weight of the new batch.
        batch_norm_momentum=0.9,
        batch_norm_epsilon=1e-5,
        head_conv=True,
        aspp_dropout=0.5,
    )


def torch_key(variable: str) -> str:
    """The state-dict key of our variable, e.g. `block3_unit5_conv2_bn/gamma` (its Keras `path`).

    Raises:
        DeeplabError: torchvision's network has no such tensor.
    """
    layer, _, part = variable.partition("/")
    module = _HEAD.get(layer) or _atrous_module(layer) or _unit_module(layer)
    if module is None or part not in _PARTS:
        raise DeeplabError(f"torchvision's deeplabv3 has no tensor for the variable {variable!r}")
    return f"{module}.{_PARTS[part]}"


def to_torch_layout(array: np.ndarray) -> np.ndarray:
    """HWIO kernels as OIHW, everything else as it is."""
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array


def from_torch_layout(array: np.ndarray) -> np.ndarray:
    """OIHW kernels as HWIO, everything else as it is."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array


def load_state_dict(model: keras.Model, state: Mapping[str, np.ndarray]) -> list[str]:
    """Puts torchvision's weights into `model`; a fault leaves the model as it was.

    Args:
        model: built from `torchvision_config`.
        state: torchvision's state dict as numpy arrays.

    Returns:
        The keys of the auxiliary classifier, which were skipped.

    Raises:
        DeeplabError: a tensor is missing, unexpected or of another shape.
    """
    variables = {torch_key(variable.path): variable for variable in model.weights}
    skipped = [key for key in state if key.startswith(AUXILIARY_PREFIX)]
    given = {key for key in state if key not in skipped and not key.endswith(COUNTER_SUFFIX)}
    for problem, keys in (
        ("lacks", variables.keys() - given),
        ("has unexpected", given - variables.keys()),
    ):
        if keys:
            raise DeeplabError(
                f"state dict {problem} {len(keys)} tensors, the first is {min(keys)!r}; "
                "it must be of the same deeplabv3_resnet as the model"
            )
    values = {key: from_torch_layout(np.asarray(state[key])) for key in variables}
    for key, variable in variables.items():
        if values[key].shape != tuple(variable.shape):
            raise DeeplabError(
                f"state dict's {key!r} has shape {values[key].shape} (height, width, in, out "
                f"for a kernel), the model's {variable.path!r} {tuple(variable.shape)}"
            )
    for key, variable in variables.items():
        variable.assign(values[key])
    return skipped


def _atrous_module(layer: str) -> str | None:
    """`aspp_atrous2` is convs.2, beside the 1x1 that is convs.0."""
    match = re.fullmatch(r"aspp_atrous(\d+)(_bn)?", layer)
    return match and f"classifier.0.convs.{match[1]}.{1 if match[2] else 0}"


def _unit_module(layer: str) -> str | None:
    """`block3_unit5_conv2` is layer3.4.conv2, `..._conv2_bn` its bn2, the shortcut downsample."""
    match = re.fullmatch(r"block(\d)_unit(\d+)_(?:conv(\d)|shortcut)(_bn)?", layer)
    if match is None:
        return None
    block, unit, conv, norm = match.groups()
    if conv is None:
        module = f"downsample.{1 if norm else 0}"
    else:
        module = f"bn{conv}" if norm else f"conv{conv}"
    return f"backbone.layer{block}.{int(unit) - 1}.{module}"
