"""From what a user gives as a model to a path: a name is that of a published model.

A text without a slash or a dot can be a name. A file or folder of that name in the current folder
goes before the model, and a line says so; `./NAME` is always a path.
"""

import difflib
import os
import pathlib
import re
from collections.abc import Callable

from deeplab_tf.errors import DeeplabError
from deeplab_tf.named.fetched import fetched_model
from deeplab_tf.named.table import MODELS

LIKE = 0.5
"""How similar a name must be to be offered, of 1."""


def is_a_name(model: str | os.PathLike) -> bool:
    """Returns whether `model` stands for a model of the table, and not for a path.

    A `pathlib.Path` is always a path.
    """
    return isinstance(model, str) and model in MODELS and not os.path.lexists(model)


def model_path(model: str | os.PathLike, report: Callable[[str], None] = print) -> pathlib.Path:
    """Returns the path of a model that is given by its path or by its name.

    A path is returned as it is, whether or not it exists. A name leads to the `.keras` file in the
    user's cache; the first use fetches the published file, checks its hash and imports it. Several
    processes at once do that once.

    Args:
        model: a path, or a name of `MODELS`.
        report: gets a line for each thing that is fetched or imported, and one where a file or
            folder of the current folder has the name of a model.

    Raises:
        DeeplabError: a text without slash and dot is neither a path that exists nor a name; or the
            file cannot be fetched, has another hash, or cannot be imported.
    """
    if not isinstance(model, str) or not re.fullmatch(r"[\w-]+", model):
        return pathlib.Path(model)
    if os.path.lexists(model):
        if model in MODELS:
            report(
                f"note: {model} is taken from the current folder, not the published model of this "
                "name, which needs another folder or another name here"
            )
        return pathlib.Path(model)
    if model not in MODELS:
        near = difflib.get_close_matches(model, MODELS, cutoff=LIKE)
        nearest = f" (near: {', '.join(near)})" if near else ""
        raise DeeplabError(
            f"model {model} does not exist, and no published model has this name{nearest}; "
            "deeplab-models lists the names"
        )
    return fetched_model(model, report)
