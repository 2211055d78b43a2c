"""The parts of a network (`conv1`, `block1`, ..., `head`), found by the names of its layers.

Tested in tests/models/test_mobilenet_v2.py and tests/training/test_step.py.
"""

import re

import keras

HEAD = "head"


def part_of(layer: str) -> str | None:
    """Returns the part that the layer named `layer` belongs to.

    Returns `conv1` (all of the root), `block1`, ... or `head`, and None for a layer outside the
    parts, which has no weights: normalisation, pooling, upsampling.
    """
    if re.match(r"(aspp|lr_aspp|head_conv|decoder|logits)(_|$)", layer):
        return HEAD
    found = re.match(r"conv1|block\d+", layer)
    return found[0] if found else None


def backbone_parts(model: keras.Model) -> list[str]:
    """Lists the parts of the backbone in the order in which they run."""
    found = [part_of(layer.name) for layer in model.layers]
    return [part for part in dict.fromkeys(found) if part not in (HEAD, None)]


def freeze_through(model: keras.Model, last: str) -> None:
    """Freezes the part `last` and all parts before it.

    The weights of a frozen part do not change, and its batch norms use their moving statistics.
    """
    parts = backbone_parts(model)
    frozen = set(parts[: parts.index(last) + 1])
    for layer in model.layers:
        if part_of(layer.name) in frozen:
            layer.trainable = False


def rate_multipliers(model: keras.Model, backbone: float, head: float) -> list[float]:
    """Lists a factor of the learning rate for each trainable variable of the model, in order."""
    by_path = {
        variable.path: head if part_of(layer.name) == HEAD else backbone
        for layer in model.layers
        for variable in layer.trainable_variables
    }
    return [by_path[variable.path] for variable in model.trainable_variables]
