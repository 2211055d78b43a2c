"""Initial weights from a `.keras` file, matched by the names of layers and weights."""

import pathlib

import keras

from deeplab_tf.artefacts.load_report import LoadReport
from deeplab_tf.artefacts.trained_model import read_keras_file, read_model_config
from deeplab_tf.config import Backbone, ModelConfig
from deeplab_tf.errors import DeeplabError

CONVENTIONS = ("stride_placement", "normalization")
"""Fields of `ModelConfig` that shapes do not show, but that decide what weights mean."""


def load_initial_weights(model: keras.Model, path: str, model_config: ModelConfig) -> LoadReport:
    """Copies into `model` every weight of the `.keras` file that has the same name and shape.

    The last layer of a network with another number of classes has another shape, so this layer is
    skipped and keeps its random values.

    Returns:
        The names of the weights that were loaded, skipped, missing or unexpected.

    Raises:
        DeeplabError: the file does not exist, is no Keras file, or has no kernel that fits; or its
            network reads pixels otherwise than `model_config` says, or strides in other places.
    """
    file = pathlib.Path(path)
    if not file.is_file():
        raise DeeplabError(f"init_from={path} does not exist; it must be a .keras file")
    source = read_keras_file(file)
    _check_conventions(model_config, file)
    theirs, ours = _weights_by_name(source), _weights_by_name(model)
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
    # Only kernels count here: a bias of one number a class fits by chance.
    if not any(name.endswith("/kernel") for name in report.loaded):
        raise DeeplabError(
            f"init_from={path} must have a kernel of the name and shape of this model; give "
            f"weights of the same backbone. Received: {', '.join(list(theirs)[:3])}, ...; the "
            f"model has {', '.join(list(ours)[:3])}, ..."
        )
    return report


def _check_conventions(model_config: ModelConfig, path: pathlib.Path) -> None:
    theirs = read_model_config(path)
    if theirs is None or model_config.image_format:
        return
    names = CONVENTIONS[1:] if model_config.backbone is Backbone.MOBILENET_V2 else CONVENTIONS
    wrong = [name for name in names if getattr(theirs, name) != getattr(model_config, name)]
    if wrong:
        flags = " ".join(f"--config.model.{name}={getattr(theirs, name)}" for name in wrong)
        raise DeeplabError(
            f"init_from={path} is of a network with another {' and '.join(wrong)}, and its weights "
            f"would mean something else here; give {flags}"
        )


def _weights_by_name(model: keras.Model) -> dict[str, keras.Variable]:
    return {f"{layer.name}/{w.name}": w for layer in model.layers for w in layer.weights}
