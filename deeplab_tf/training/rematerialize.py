"""A network that keeps fewer activations for the backward pass and computes them again."""

import itertools
import re

import keras
import tensorflow as tf

UNIT = re.compile(r"block\d+_unit\d+")


class Rematerialized:
    """Called as the model it is made of, with the same result, gradients and statistics.

    Of the root and of each unit of the backbone the backward pass has the input alone, and computes
    the unit again before its gradient (Chen et al., arXiv 1604.06174). The head is not, since its
    activations are needed first. The model itself stays as it is.
    """

    def __init__(self, model: keras.Model):
        units: dict[str, list[keras.layers.Layer]] = {}
        for layer in model.layers:
            found = UNIT.match(layer.name)
            if found:
                units.setdefault(found[0], []).append(layer)
        # Layers are in the order in which they run: a unit's first has its input, its last its sum.
        first = next(iter(units.values()))[0].input
        bounds = [model.input, first, *(layers[-1].output for layers in units.values())]
        self._parts = [Part(start, end) for start, end in itertools.pairwise(bounds)]
        self._head = Part([bounds[-1], model.input], model.output)

    def __call__(self, image: tf.Tensor, training: bool) -> tf.Tensor:
        """Images [B, H, W, bands] float -> logits [B, H, W, num_classes] float32."""
        x = image
        for part in self._parts:
            x = keras.remat(_stateful_once(part, training))(x)
        return self._head([x, image], training=training)


class Part(keras.layers.Layer):
    """The layers between two maps of a model, which they stay part of."""

    def __init__(self, inputs, outputs):
        super().__init__(autocast=False)  # maps pass in the precision that they have
        # A keras.Model of maps inside another model makes that one impossible to save.
        self._function = keras.Function(inputs, outputs)

    def call(self, inputs):
        return self._function(inputs)


def _stateful_once(part: Part, training: bool):
    """`part`, whose second computation leaves the moving statistics alone: it is the same step."""
    again = False

    def compute(x: tf.Tensor) -> tf.Tensor:
        nonlocal again
        if not again:
            again = True
            return part(x, training=training)
        # What is assigned inside stays in the scope.
        with keras.StatelessScope():
            return part(x, training=training)

    return compute
