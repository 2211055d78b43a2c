"""SavedModel folders of `deeplab-export`, opened with their experiment and their classes."""

import pathlib
from typing import Any

import tensorflow as tf

from deeplab_tf.artefacts.description import DESCRIPTION, parse_description
from deeplab_tf.config import Experiment
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.images.classes import Classes

SAVED_MODEL_FILE = "saved_model.pb"
EXTRA_DIR = "assets.extra"
"""The folder of files that belong to a SavedModel and that TensorFlow itself does not read."""

WORKING_SIZE = "working_size"
"""The name of the variable in a SavedModel of ours that bounds the images its network sees."""

SIGNATURE = "serving_default"
"""The signature that TensorFlow Serving and LiteRT call where a client names none."""


def working_size_in(loaded: Any) -> int | None:
    """Returns the longest side, in pixels, at which a SavedModel's network sees an image.

    0 is any size; None is a SavedModel of an older version, whose network sees all images as they
    are.
    """
    variable = getattr(loaded, WORKING_SIZE, None)
    return None if variable is None else int(variable.numpy())


def set_working_size(loaded: Any, folder: pathlib.Path, longest: int) -> None:
    """Sets what `working_size_in` returns, for all signatures of a SavedModel in this process.

    Raises:
        DeeplabError: the SavedModel in `folder` was written by an older version.
    """
    if working_size_in(loaded) is None:
        raise DeeplabError(
            f"SavedModel {folder} was written before there was a --working_size; export it again"
        )
    getattr(loaded, WORKING_SIZE).assign(longest)


def open_saved_model(folder: pathlib.Path) -> tuple[Any, Experiment, Classes]:
    """Opens a SavedModel that `deeplab-export` wrote.

    Returns:
        TensorFlow's object, which must be kept as long as its signatures are used, the experiment
        that the model was trained by, and the classes.

    Raises:
        DeeplabError: the folder was not written by `deeplab-export`, or is damaged.
    """
    description = folder / EXTRA_DIR / DESCRIPTION
    if not description.is_file():
        raise DeeplabError(
            f"SavedModel {folder} has no {EXTRA_DIR}/{DESCRIPTION}: it was not written by "
            "deeplab-export"
        )
    experiment, classes = parse_description(description.read_bytes(), f"SavedModel {folder}")
    try:
        loaded = tf.saved_model.load(str(folder))
        _ = loaded.signatures[SIGNATURE]
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise DeeplabError(
            f"SavedModel {folder} is damaged: {one_line(str(error))[:200]}"
        ) from error
    return loaded, experiment, classes
