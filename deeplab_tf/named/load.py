"""The Keras model with its experiment, by path or by name.

Tested in tests/named/test_find.py.
"""

import os
from collections.abc import Callable

from deeplab_tf.artefacts import trained_model
from deeplab_tf.artefacts.trained_model import TrainedModel
from deeplab_tf.named.find import model_path


def load_model(path: str | os.PathLike, report: Callable[[str], None] = print) -> TrainedModel:
    """Loads a `.keras` file of this package, the weights of a workdir, or a published model.

    Args:
        path: the file or the workdir, as `artefacts.trained_model.load_model` takes it, or a name.
        report: gets the lines of that function and of `model_path`.

    Raises:
        DeeplabError: an error of either.
    """
    return trained_model.load_model(model_path(path, report), report)
