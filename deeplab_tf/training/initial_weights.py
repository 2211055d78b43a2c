"""Initial weights from a `.keras` file, matched by the names of layers and weights."""

import pathlib
from typing import Any

import keras

from deeplab_tf.artefacts.auxiliary import read_auxiliary
from deeplab_tf.artefacts.load_report import LoadReport
from deeplab_tf.artefacts.trained_model import read_keras_file, read_model_config
from deeplab_tf.config import ModelConfig
from deeplab_tf.config.schema import MOBILENETS
from deeplab_tf.config.validation import drops_a_stride
from deeplab_tf.errors import DeeplabError
from deeplab_tf.models.parts import HEAD, part_of

ENOUGH = 0.9
"""The share of the backbone's weights that a file must have. Images of other bands cost one."""
WIDTHS = ("backbone", "width_multiplier", "channel_divisor", "deep_root")
"""Fields of `ModelConfig` that decide the shapes of a backbone's weights."""
CONVENTIONS = ("stride_placement", "normalization")
"""Fields of `ModelConfig` that shapes do not show, but that decide what weights mean; so does
`early_rates` where both networks have atrous convolutions."""


def load_initial_weights(model: keras.Model, path: str, model_config: ModelConfig) -> LoadReport:
    """Copies into `model` every weight of the `.keras` file that has the same name and shape.

    The last layer of a network with another number of classes has another shape, so this layer is
    skipped and keeps its random values. The file's auxiliary head goes into that of `model`.

    Returns:
        The names of the weights that were loaded, skipped, missing or unexpected.

    Raises:
        DeeplabError: the file does not exist, is no Keras file, or fits less than `ENOUGH` of the
            backbone; or its network reads pixels otherwise than `model_config` says, or strides in
            other places, or has other rates where a stride is dropped.
    """
    file = pathlib.Path(path)
    if not file.is_file():
        raise DeeplabError(f"init_from={path} does not exist; it must be a .keras file")
    source = read_keras_file(file)
    theirs, ours = _weights_by_name(source), _weights_by_name(model)
    theirs |= read_auxiliary(file)
    report = LoadReport([], [], [], sorted(theirs.keys() - ours.keys()))
    for name, variable in ours.items():
        if name not in theirs:
            report.missing.append(name)
        elif tuple(theirs[name].shape) != tuple(variable.shape):
            shapes = f"{tuple(theirs[name].shape)} -> {tuple(variable.shape)}"
            report.skipped.append(f"{name} {shapes}")
        else:
            variable.assign(theirs[name])
            report.loaded.append(name)
    _check_share(report.loaded, list(ours), list(theirs), model_config, file)
    _check_conventions(model_config, file, list(theirs))
    return report


def _check_share(
    loaded: list[str],
    ours: list[str],
    theirs: list[str],
    model_config: ModelConfig,
    path: pathlib.Path,
) -> None:
    """Raises `DeeplabError` where the backbone would train on from hardly any of the weights.

    The head may be another, and so may blocks be that the file does not have at all: a cascade
    begins with a plain ResNet.
    """
    there = {_part(name) for name in theirs} - {None}
    backbone = [name for name in ours if _part(name)]
    wanted = [name for name in backbone if _part(name) in there] or backbone
    fits = sum(1 for name in loaded if _part(name))
    if fits < ENOUGH * len(wanted):
        raise DeeplabError(
            f"init_from={path} must have weights of the same backbone. {fits} of the {len(wanted)} "
            f"of {model_config.backbone} are there with the same shape: "
            f"{_difference(read_model_config(path), model_config)}"
        )


def _part(weight: str) -> str | None:
    """Returns the part of the backbone that the weight `LAYER/NAME` is in; None outside it."""
    part = part_of(weight.partition("/")[0])
    return None if part == HEAD else part


def _difference(theirs: ModelConfig | None, ours: ModelConfig) -> str:
    """Returns how two backbones differ, and what to do."""
    if theirs is None:
        return "the file was not written by deeplab_tf; deeplab-import reads weights of others"
    found = [
        f"{name} {getattr(theirs, name)} (here {getattr(ours, name)})"
        for name in WIDTHS
        if getattr(theirs, name) != getattr(ours, name)
    ]
    return (
        f"the file has {', '.join(found) or 'other layers'}; --config.model.like=FILE.keras takes "
        "the network of a file"
    )


def _check_conventions(model_config: ModelConfig, path: pathlib.Path, weights: list[str]) -> None:
    theirs = read_model_config(path)
    if theirs is None:
        return
    names = ()
    if model_config.input_format.is_rgb:
        names = CONVENTIONS[1:] if model_config.backbone in MOBILENETS else CONVENTIONS
    # A classifier's backbone was trained with all of its strides, and has no rates.
    is_segmenter = any(part_of(name.partition("/")[0]) == HEAD for name in weights)
    if is_segmenter and drops_a_stride(theirs) and drops_a_stride(model_config):
        names = (*names, "early_rates")
    wrong = [name for name in names if getattr(theirs, name) != getattr(model_config, name)]
    if wrong:
        flags = " ".join(f"--config.model.{name}={getattr(theirs, name)}" for name in wrong)
        raise DeeplabError(
            f"init_from={path} is of a network with another {' and '.join(wrong)}, and its weights "
            f"would mean something else here; give {flags}, or --config.model.like=FILE.keras"
        )


def _weights_by_name(model: keras.Model) -> dict[str, Any]:
    return {f"{layer.name}/{w.name}": w for layer in model.layers for w in layer.weights}
