"""Initial weights from a `.keras` file, layer by layer by name."""

import pathlib

import keras

from deeplab_tf.artefacts.load_report import LoadReport
from deeplab_tf.artefacts.trained_model import read_keras_file, read_model_config
from deeplab_tf.config import Backbone, ModelConfig
from deeplab_tf.errors import DeeplabError

CONVENTIONS = ("stride_placement", "normalization")
"""What shapes do not show and without which weights mean something else."""


def load_initial_weights(model: keras.Model, path: str, config: ModelConfig) -> LoadReport:
    """Copies into `model` every weight of the `.keras` file that has the same name and shape.

    A last layer for another number of classes is skipped that way, and keeps its random values.

    Raises:
        DeeplabError: no such file, not a Keras file, no kernel in it fits, or it is of a network
            that reads its pixels otherwise, or strides in other places, than that of `config`.
    """
    file = pathlib.Path(path)
    if not file.is_file():
        raise DeeplabError(f"init_from={path} does not exist; it must be a .keras file")
    source = read_keras_file(file)
    _check_conventions(config, file)
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
    # A bias of one number a class fits by chance.
    if not any(name.endswith("/kernel") for name in report.loaded):
        raise DeeplabError(
            f"init_from={path} has no kernel of the name and shape of this model: is it of "
            f"another backbone? It has {', '.join(list(theirs)[:3])}, ...; "
            f"the model {', '.join(list(ours)[:3])}, ..."
        )
    return report


def _check_conventions(config: ModelConfig, path: pathlib.Path) -> None:
    theirs = read_model_config(path)
    if theirs is None or config.band_mean:
        return
    names = CONVENTIONS[1:] if config.backbone is Backbone.MOBILENET_V2 else CONVENTIONS
    wrong = [name for name in names if getattr(theirs, name) != getattr(config, name)]
    if wrong:
        flags = " ".join(f"--config.model.{name}={getattr(theirs, name)}" for name in wrong)
        raise DeeplabError(
            f"init_from={path} is of a network with another {' and '.join(wrong)}, and its weights "
            f"would mean something else here; give {flags}"
        )


def _weights_by_name(model: keras.Model) -> dict[str, keras.Variable]:
    return {f"{layer.name}/{w.name}": w for layer in model.layers for w in layer.weights}
