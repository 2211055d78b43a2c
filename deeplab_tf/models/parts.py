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
    if re.match(r"(aspp|lr_aspp|head_conv|decoder|logits|auxiliary)(_|$)", layer):
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


def rate_multipliers(
    model: keras.Model, backbone: float, head: float, layer_decay: float = 1.0
) -> list[float]:
    """Lists a factor of the learning rate for each trainable variable of the model, in order.

    Args:
        model: the network.
        backbone: the factor of the backbone, and of layers outside the parts.
        head: the factor of the head, and of the auxiliary head.
        layer_decay: a factor that the last part of the backbone has once, the part before it twice,
            and so on down to conv1.
    """
    factors: dict[str | None, float] = {HEAD: head}
    for depth, part in enumerate(reversed(backbone_parts(model)), start=1):
        factors[part] = backbone * layer_decay**depth
    by_path = {
        variable.path: factors.get(part_of(layer.name), backbone)
        for layer in model.layers
        for variable in layer.trainable_variables
    }
    return [by_path[variable.path] for variable in model.trainable_variables]
