"""DeepLabv3 (arXiv 1706.05587) for Keras 3: the public names.

They are imported on first use, so that `--help` of a binary does not wait for TensorFlow.
"""

import importlib

_HOME = {
    "AtrousConv2D": "deeplab_tf.models.conv",
    "DeeplabError": "deeplab_tf.errors",
    "Experiment": "deeplab_tf.config",
    "Classes": "deeplab_tf.images.classes",
    "ModelConfig": "deeplab_tf.config",
    "TrainedModel": "deeplab_tf.artefacts.trained_model",
    "build_model": "deeplab_tf.models.deeplab",
    "load_experiment": "deeplab_tf.config",
    "load_model": "deeplab_tf.artefacts.trained_model",
}
__all__ = list(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'deeplab_tf' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__():
    return __all__
