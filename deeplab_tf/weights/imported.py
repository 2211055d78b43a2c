"""Weights read from another project's file, under our names, and the network that they make.

Tested in tests/weights/test_tflite.py and tests/parity/test_torchvision_names.py.
"""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

from deeplab_tf.artefacts.load_report import LoadReport
from deeplab_tf.config import ModelConfig
from deeplab_tf.errors import DeeplabError
from deeplab_tf.models import build_backbone, build_model
from deeplab_tf.models.auxiliary import with_auxiliary


class NoRuntimeError(Exception):
    """The error for a source whose runtime is not installed; the message says what to install."""


Reference = Callable[[np.ndarray], tuple[np.ndarray | None, np.ndarray | None]]
"""The source's own runtime, as a function from an image, uint8 [1, H, W, 3], to labels [1, H, W]
and an output [1, h, w, C]: logits or, for a backbone, features. None stands for what the runtime
does not give."""


@dataclasses.dataclass(frozen=True)
class ImportedWeights:
    """The weights of one file, with what is needed to build the network and to compare it.

    Attributes:
        model_config: the network in the source's conventions; `num_classes` None means only a
            backbone.
        tensors: the arrays in our layout, by the source's names.
        name_of: maps the path of our variable, such as `conv1/kernel`, to the source's name,
            whether or not the source has that tensor.
        skipped: the names in the source that are left out on purpose, with the reason.
        reference: opens the source's own runtime on the same file, to compare with; raises
            `NoRuntimeError` where that runtime is not installed.
        auxiliary_reference: opens the runtime as `reference` does, on the logits of the source's
            auxiliary head; None where the source has no such head.
        exact: whether the source computes with the same numbers; a quantised source does not.
        without_statistics: whether the source has its batch norms folded into its convolutions, so
            that nothing is known of their statistics.
        frame: (height, width) of the images that both can be compared on; None is any size.
        pad_to: the side, in pixels, to which the source's own evaluation pads its images; None if
            the images are not padded.
        longest_side: the longest side, in pixels, of the source's training images; None if unknown.
    """

    model_config: ModelConfig
    tensors: dict[str, np.ndarray]
    name_of: Callable[[str], str]
    skipped: list[str]
    reference: Callable[[], Reference]
    auxiliary_reference: Callable[[], Reference] | None = None
    exact: bool = True
    without_statistics: bool = False
    frame: tuple[int, int] | None = None
    pad_to: int | None = None
    longest_side: int | None = None


def build_network(imported: ImportedWeights, what: str) -> tuple[keras.Model, LoadReport]:
    """Builds the network with the imported weights; returns it with a report of the tensors.

    The network maps pixels to logits or, for a backbone, to features. With an auxiliary head it is
    that of `with_auxiliary`, and `without_auxiliary` gives the network to evaluate.

    Args:
        imported: the weights that an importer read.
        what: the name of the file, for messages.

    Raises:
        DeeplabError: a variable has no value in the source, or a value of another shape, or numbers
            that are not finite.
    """
    model_config, tensors = imported.model_config, imported.tensors
    model = (build_backbone if model_config.num_classes is None else build_model)(model_config)
    if imported.auxiliary_reference is not None:
        model = with_auxiliary(model, model_config)
    names = {variable.path: imported.name_of(variable.path) for variable in model.weights}
    missing = [name for name in names.values() if name not in tensors]
    if missing:
        raise DeeplabError(
            f"{what} must have all {len(names)} tensors of a {model_config.backbone}. Missing: "
            f"{len(missing)}, the first is {missing[0]!r}; check that the file is whole, and of "
            "this network"
        )
    for variable in model.weights:
        name = names[variable.path]
        if tensors[name].shape != tuple(variable.shape):
            raise DeeplabError(
                f"{what}: {name!r} has shape {tensors[name].shape} (height, width, in, out for a "
                f"kernel), and {variable.path!r} of the network has {tuple(variable.shape)}"
            )
        if not np.isfinite(tensors[name]).all():
            raise DeeplabError(f"{what}: {name!r} holds numbers that are not finite")
    for variable in model.weights:
        variable.assign(tensors[names[variable.path]])
    loaded = sorted(names.values())
    unexpected = sorted(tensors.keys() - set(loaded))
    return model, LoadReport(loaded, imported.skipped, [], unexpected)
