"""The SavedModel of a published model, for deeplab-serve."""

import hashlib
import pathlib
from collections.abc import Callable

import tensorflow as tf

from deeplab_tf.artefacts.saved_model import SAVED_MODEL_FILE
from deeplab_tf.artefacts.trained_model import load_model
from deeplab_tf.data.sources.draw_shapes import draw_example
from deeplab_tf.files.temporary import remove
from deeplab_tf.machine.sources import code_digest, sources
from deeplab_tf.named.fetched import fetched_model, held

from .parity import ComparedImage
from .saved_model import export_saved_model

EXPORTERS = pathlib.Path(__file__).parent
DRAWN = 2
"""The number of drawn images on which the SavedModel must agree with the `.keras` file."""


def saved_model_of(name: str, report: Callable[[str], None] = print) -> pathlib.Path:
    """Returns the SavedModel of a published model, which the first use exports into the cache.

    The SavedModel is one of this version of the package and of TensorFlow; an export removes those
    of other versions. Several processes at once export once.

    Args:
        name: a name of `MODELS`.
        report: gets the lines of `model_path`, and one when a SavedModel is exported.

    Raises:
        DeeplabError: the model cannot be had, is a backbone without classes, or the SavedModel does
            not agree with it.
    """
    path = fetched_model(name, report)
    out = path.with_name(f"{path.stem}-saved-model-{_version()}")
    if (out / SAVED_MODEL_FILE).is_file():
        return out
    with held(name, report):
        if not (out / SAVED_MODEL_FILE).is_file():
            report(f"{name}: exporting a SavedModel into {out}")
            drawn = (
                ComparedImage(f"drawn image {number}", draw_example((number,)).image)
                for number in range(DRAWN)
            )
            export_saved_model(load_model(path, report), out, drawn)
            for other in out.parent.glob(f"{name}-*-saved-model-*"):
                if other != out:
                    remove(other)
    return out


def _version() -> str:
    """Returns a short hash of the package's code, the exporters' code and TensorFlow's version."""
    # In a checkout the exporters lie beside the package, where `sources` does not look.
    code = f"{sources()} {code_digest(EXPORTERS)} {tf.__version__}"
    return hashlib.sha256(code.encode()).hexdigest()[:12]
