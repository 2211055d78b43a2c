"""Weights of another's file in our names, and the network that they make."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

from deeplab_tf.config import ModelConfig
from deeplab_tf.errors import DeeplabError
from deeplab_tf.load_report import LoadReport
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
        values: arrays in our layout by our variables' paths, `conv1/kernel`.
        source_names: the source's name of each of `values`, for messages.
        skipped: names in the source that are left out on purpose, with the reason.
        unexpected: names in the source that nothing is known of.
        reference: opens the source's own runtime on the same file, to compare with.
        exact: whether the source computes with the same numbers; quantised ones do not.
        without_statistics: whether the source has its batch norms folded into its convolutions, so
            that nothing is known of their statistics.
        frame: (height, width) of the images that both can be compared on; None is any.
    """

    config: ModelConfig
    values: dict[str, np.ndarray]
    source_names: dict[str, str]
    skipped: list[str]
    unexpected: list[str]
    reference: Callable[[], Reference]
    exact: bool = True
    without_statistics: bool = False
    frame: tuple[int, int] | None = None


def build_network(imported: ImportedWeights, what: str) -> tuple[keras.Model, LoadReport]:
    """The network with the imported weights, pixels to logits, or to features for a backbone.

    Args:
        imported: what an importer read.
        what: the file, for messages.

    Raises:
        DeeplabError: nothing in the source is known, a variable has no value there, or one of
            another shape.
    """
    if not imported.values:
        examples = ", ".join((imported.unexpected or ["no tensor at all"])[:3])
        raise DeeplabError(
            f"{what} holds nothing that this importer knows: {examples}; is it of another --source?"
        )
    backbone = imported.config.num_classes is None
    model = (build_backbone if backbone else build_model)(imported.config)
    missing = [v.path for v in model.weights if v.path not in imported.values]
    if missing:
        raise DeeplabError(
            f"{what} lacks {len(missing)} of the {len(model.weights)} tensors of a "
            f"{imported.config.backbone}, the first is for {missing[0]!r}; is it whole, and of "
            "that network?"
        )
    for variable in model.weights:
        value, name = imported.values[variable.path], imported.source_names[variable.path]
        if value.shape != tuple(variable.shape):
            raise DeeplabError(
                f"{what}: {name!r} has shape {value.shape} (height, width, in, out for a kernel), "
                f"the network's {variable.path!r} {tuple(variable.shape)}"
            )
        if not np.isfinite(value).all():
            raise DeeplabError(f"{what}: {name!r} holds numbers that are not finite")
    for variable in model.weights:
        variable.assign(imported.values[variable.path])
    used = {variable.path for variable in model.weights}
    unused = sorted({imported.source_names[path] for path in imported.values.keys() - used})
    loaded = sorted({imported.source_names[path] for path in used})
    report = LoadReport(loaded, imported.skipped, [], [*imported.unexpected, *unused])
    return model, report
