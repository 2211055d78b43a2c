"""Weights of another's file in our names, and the network that they make."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

from deeplab_tf.artefacts.load_report import LoadReport
from deeplab_tf.config import ModelConfig
from deeplab_tf.errors import DeeplabError
from deeplab_tf.models import build_backbone, build_model


class NoRuntimeError(Exception):
    """The source's runtime is not installed; the message says what to install."""


Reference = Callable[[np.ndarray], tuple[np.ndarray | None, np.ndarray | None]]
"""The source's own runtime: uint8 [1, H, W, 3] -> its labels [1, H, W] and its output [1, h, w, C],
logits or, of a backbone, features; None for what it does not tell."""


@dataclasses.dataclass(frozen=True)
class ImportedWeights:
    """What an importer read.

    Attributes:
        config: the network in the source's conventions; `num_classes` None is a backbone alone.
        tensors: arrays in our layout by the source's names.
        name_of: our variable's path, `conv1/kernel`, to the source's name, whether it is there or
            not.
        skipped: names in the source that are left out on purpose, with the reason.
        reference: opens the source's own runtime on the same file, to compare with; raises
            `NoRuntimeError`.
        exact: whether the source computes with the same numbers; quantised ones do not.
        without_statistics: whether the source has its batch norms folded into its convolutions, so
            that nothing is known of their statistics.
        frame: (height, width) of the images that both can be compared on; None is any.
        pad_to: the side to which the source's own evaluation pads its images, if it does.
    """

    config: ModelConfig
    tensors: dict[str, np.ndarray]
    name_of: Callable[[str], str]
    skipped: list[str]
    reference: Callable[[], Reference]
    exact: bool = True
    without_statistics: bool = False
    frame: tuple[int, int] | None = None
    pad_to: int | None = None


def build_network(imported: ImportedWeights, what: str) -> tuple[keras.Model, LoadReport]:
    """The network with the imported weights, pixels to logits, or to features for a backbone.

    Args:
        imported: what an importer read.
        what: the file, for messages.

    Raises:
        DeeplabError: a variable has no value in the source, or one of another shape, or numbers
            that are not finite.
    """
    config, tensors = imported.config, imported.tensors
    model = (build_backbone if config.num_classes is None else build_model)(config)
    names = {variable.path: imported.name_of(variable.path) for variable in model.weights}
    missing = [name for name in names.values() if name not in tensors]
    if missing:
        raise DeeplabError(
            f"{what} lacks {len(missing)} of the {len(names)} tensors of a {config.backbone}, the "
            f"first is {missing[0]!r}; is it whole, and of that network?"
        )
    for variable in model.weights:
        name = names[variable.path]
        if tensors[name].shape != tuple(variable.shape):
            raise DeeplabError(
                f"{what}: {name!r} has shape {tensors[name].shape} (height, width, in, out for a "
                f"kernel), the network's {variable.path!r} {tuple(variable.shape)}"
            )
        if not np.isfinite(tensors[name]).all():
            raise DeeplabError(f"{what}: {name!r} holds numbers that are not finite")
    for variable in model.weights:
        variable.assign(tensors[names[variable.path]])
    loaded = sorted(names.values())
    unexpected = sorted(tensors.keys() - set(loaded))
    return model, LoadReport(loaded, imported.skipped, [], unexpected)
