"""The public names of DeepLabv3 (arXiv 1706.05587) for Keras 3.

Each name is imported on first use, so that `--help` of a command does not wait for TensorFlow.
"""

import importlib
import importlib.abc
import importlib.util
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deeplab_tf.artefacts.trained_model import TrainedModel, load_model, save_model
    from deeplab_tf.config import (
        Backbone,
        BatchNormMode,
        DataConfig,
        EvaluateConfig,
        Experiment,
        Head,
        Loss,
        ModelConfig,
        Normalization,
        Precision,
        StrategyName,
        StridePlacement,
        TrainConfig,
        Upsampling,
        load_experiment,
    )
    from deeplab_tf.config.image_format import ImageFormat
    from deeplab_tf.errors import DeeplabError
    from deeplab_tf.evaluation.evaluate import evaluate
    from deeplab_tf.export.export_model import export_model  # pyright: ignore[reportMissingImports]
    from deeplab_tf.images.classes import Classes
    from deeplab_tf.inference.segmenter import Segmenter, load
    from deeplab_tf.models.conv import AtrousConv2D
    from deeplab_tf.models.deeplab import build_model
    from deeplab_tf.training.stages import train

_HOMES = {
    "artefacts.trained_model": ("TrainedModel", "load_model", "save_model"),
    "config": (
        *("Backbone", "BatchNormMode", "DataConfig", "EvaluateConfig", "Experiment", "Head"),
        *("Loss", "ModelConfig", "Normalization", "Precision", "StrategyName", "StridePlacement"),
        *("TrainConfig", "Upsampling", "load_experiment"),
    ),
    "config.image_format": ("ImageFormat",),
    "errors": ("DeeplabError",),
    "evaluation.evaluate": ("evaluate",),
    "export.export_model": ("export_model",),
    "images.classes": ("Classes",),
    "inference.segmenter": ("Segmenter", "load"),
    "models.conv": ("AtrousConv2D",),
    "models.deeplab": ("build_model",),
    "training.stages": ("train",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AtrousConv2D",
    "Backbone",
    "BatchNormMode",
    "Classes",
    "DataConfig",
    "DeeplabError",
    "EvaluateConfig",
    "Experiment",
    "Head",
    "ImageFormat",
    "Loss",
    "ModelConfig",
    "Normalization",
    "Precision",
    "Segmenter",
    "StrategyName",
    "StridePlacement",
    "TrainConfig",
    "TrainedModel",
    "Upsampling",
    "build_model",
    "evaluate",
    "export_model",
    "load",
    "load_experiment",
    "load_model",
    "save_model",
    "train",
]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'deeplab_tf' has no attribute {name!r}")
    return getattr(importlib.import_module(f"deeplab_tf.{_HOME[name]}"), name)


def __dir__():
    return __all__


class _RegisterWithKeras(importlib.abc.MetaPathFinder):
    """The import hook that imports this package's layers right after Keras.

    Keras looks classes up among those that were registered, and imports none by their module. With
    the layers imported, Keras loads a `.keras` file of this package by itself.
    """

    def find_spec(self, fullname, path, target=None):
        if fullname != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module):
            execute(module)
            importlib.import_module("deeplab_tf.models")

        spec.loader.exec_module = execute_and_register
        return spec


if "keras" in sys.modules:
    importlib.import_module("deeplab_tf.models")
else:
    sys.meta_path.insert(0, _RegisterWithKeras())
