"""A network that keeps fewer activations for the backward pass and computes them again."""

import itertools
import re

import keras
import tensorflow as tf

UNIT = re.compile(r"block\d+_unit\d+")


class Rematerialized:
    """A callable like the model it is made of, with the same results, gradients and statistics.

    The backward pass has only the input of the root and of each unit of the backbone, and computes
    the unit again before its gradient (Chen et al., arXiv 1604.06174). The head is not computed
    again, since its activations are needed first; it may read maps between units, as a decoder
    and an auxiliary head do. The model itself stays as it is.
    """

    def __init__(self, model: keras.Model):
        units: dict[str, list[keras.layers.Layer]] = {}
        for layer in model.layers:
            found = UNIT.match(layer.name)
            if found:
                units.setdefault(found[0], []).append(layer)
        # Layers are listed in the order in which they run, so the first layer of a unit has the
        # unit's input, and the last layer its output, the sum.
        first = next(iter(units.values()))[0].input
        bounds = [model.input, first, *(layers[-1].output for layers in units.values())]
        self._parts = [Part(start, end) for start, end in itertools.pairwise(bounds)]
        others = [layer for layer in model.layers if not UNIT.match(layer.name)]
        read = {id(x) for layer in others for x in keras.tree.flatten(layer.input)}
        self._kept = [number for number, x in enumerate(bounds[1:]) if id(x) in read]
        head_inputs = [bounds[1 + number] for number in self._kept]
        self._head = Part([*head_inputs, model.input], model.output)

    def __call__(self, image: tf.Tensor, training: bool):
        """Returns what the model does for images [B, H, W, bands] float."""
        x, maps = image, []
        for part in self._parts:
            x = keras.remat(_stateful_once(part, training))(x)
            maps.append(x)
        return self._head([*(maps[number] for number in self._kept), image], training=training)


class Part(keras.layers.Layer):
    """The layers between two feature maps of a model, as one layer; the model keeps them."""

    def __init__(self, inputs, outputs):
        super().__init__(autocast=False)  # feature maps keep their precision
        # No keras.Model: one made of another model's maps makes the other impossible to save.
        self._function = keras.Function(inputs, outputs)

    def call(self, inputs):
        return self._function(inputs)


def _stateful_once(part: Part, training: bool):
    """Returns a function like `part` whose second call leaves the moving statistics unchanged.

    The second call computes the same step again, and a step may move the statistics only once.
    """
    again = False

    def compute(x: tf.Tensor) -> tf.Tensor:
        nonlocal again
        if not again:
            again = True
            return part(x, training=training)
        # Assignments inside the scope do not reach the variables.
        with keras.StatelessScope():
            return part(x, training=training)

    return compute
