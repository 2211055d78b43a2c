"""The activations of MobileNetV3 (arXiv 1905.02244, section 5.2), made of ReLU6.

Tested in tests/models/test_mobilenet_v3.py.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable("deeplab_tf")
class HardSigmoid(keras.layers.Layer):
    """The layer ReLU6(x + 3) / 6, a sigmoid of straight lines from 0 at -3 to 1 at 3."""

    def call(self, inputs):
        """Maps a tensor of any shape to numbers in 0..1 of the same shape."""
        return ops.relu6(inputs + 3.0) * (1 / 6)

    def compute_output_shape(self, input_shape):
        """Returns the input's shape."""
        return input_shape


@keras.saving.register_keras_serializable("deeplab_tf")
class HardSwish(keras.layers.Layer):
    """The layer x ReLU6(x + 3) / 6.

    LiteRT's converter knows the products in this order as one operation, HARD_SWISH.
    """

    def call(self, inputs):
        """Maps a tensor of any shape to one of the same shape."""
        return inputs * ops.relu6(inputs + 3.0) * (1 / 6)

    def compute_output_shape(self, input_shape):
        """Returns the input's shape."""
        return input_shape
