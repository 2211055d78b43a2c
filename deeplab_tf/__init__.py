"""The public names of DeepLabv3 (arXiv 1706.05587) for Keras 3.

Each name is imported on first use, so that `--help` of a command does not wait for TensorFlow.
"""

import importlib
import importlib.abc
import importlib.util
import sys

import lazy_loader

# The names stand in __init__.pyi, which editors read too.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


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
