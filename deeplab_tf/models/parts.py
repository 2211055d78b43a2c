"""The parts of the network by the names of its layers: conv1, block1, ..., head."""

import re

import keras

HEAD = "head"


def part_of(layer: str) -> str | None:
    """`conv1` (all of the root), `block1`, ... or `head`, by a layer's name; None for what has no
    weights: normalisation, pooling, upsampling."""
    if re.match(r"(aspp|head_conv|logits)(_|$)", layer):
        return HEAD
    found = re.match(r"conv1|block\d+", layer)
    return found[0] if found else None


def backbone_parts(model: keras.Model) -> list[str]:
    """The parts of the backbone in the order in which they run."""
    found = [part_of(layer.name) for layer in model.layers]
    return [part for part in dict.fromkeys(found) if part not in (HEAD, None)]


def freeze_through(model: keras.Model, last: str) -> None:
    """Freezes the part `last` and all before it: weights, and batch norms at their moving
    statistics."""
    parts = backbone_parts(model)
    frozen = set(parts[: parts.index(last) + 1])
    for layer in model.layers:
        if part_of(layer.name) in frozen:
            layer.trainable = False


def rate_multipliers(model: keras.Model, backbone: float, head: float) -> list[float]:
    """A factor of the learning rate for each of the model's trainable variables, in order."""
    by_path = {
        variable.path: head if part_of(layer.name) == HEAD else backbone
        for layer in model.layers
        for variable in layer.trainable_variables
    }
    return [by_path[variable.path] for variable in model.trainable_variables]
