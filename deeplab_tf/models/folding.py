"""Batch norms folded into the convolutions before them: the same function in fewer operations."""

import keras
import numpy as np

from deeplab_tf.models.conv import AtrousDepthwiseConv2D, FusedBatchNormalization

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
else:
    tf = None


def folded(model: keras.Model) -> keras.Model:
    """Returns a network, only for inference, that computes what `model` does, to float32 rounding.

    Each convolution has its kernel multiplied by gamma / sqrt(variance + epsilon) of its batch
    norm, and each batch norm becomes a bias. TensorFlow computes the convolution and the bias as
    one operation with the ReLU, and with the addition before the ReLU. Layers keep their names.

    Args:
        model: a network of this package, in which each batch norm follows a convolution without
            bias.
    """
    network = keras.models.clone_model(model, clone_function=_clone)
    fold_into(network, model)
    return network


def fold_into(network: keras.Model, model: keras.Model) -> None:
    """Copies the weights of `model` into `network`, which `folded` made of a model like it.

    The two may differ in their output_stride, since layers are found by their names.
    """
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    for layer in model.layers:
        if isinstance(layer, FusedBatchNormalization):
            convolution = layer.input._keras_history.operation
            kernel, bias = _folded_weights(convolution, layer)
            weights |= {convolution.name: [kernel], layer.name: [bias]}
    for layer in network.layers:
        layer.set_weights(weights[layer.name])


class _Bias(keras.layers.Layer):
    """The layer that replaces a folded batch norm and adds one number to each channel."""

    def build(self, input_shape):
        self.bias = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="bias")

    def call(self, inputs, training=None, mask=None):
        """Adds the bias to [B, H, W, C]."""
        if tf is None:
            return inputs + keras.ops.cast(self.bias, inputs.dtype)
        # TensorFlow fuses bias_add with the convolution, but not a plain addition.
        return tf.nn.bias_add(inputs, tf.cast(self.bias.value, inputs.dtype))


def _clone(layer: keras.Layer) -> keras.Layer:
    if isinstance(layer, FusedBatchNormalization):
        return _Bias(name=layer.name, dtype=layer.dtype_policy)
    config = layer.get_config()
    # The weights are copied: drawing them takes half the time of making a large network.
    for name in config.keys() & {"kernel_initializer", "depthwise_initializer"}:
        config[name] = "zeros"
    return layer.__class__.from_config(config)


def _folded_weights(
    convolution: keras.Layer, batch_norm: FusedBatchNormalization
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the folded kernel and the bias, computed in float64."""
    (kernel,) = (weight.astype(np.float64) for weight in convolution.get_weights())
    gamma, beta, mean, variance = (w.astype(np.float64) for w in batch_norm.get_weights())
    scale = gamma / np.sqrt(variance + batch_norm.epsilon)
    # A depthwise kernel is [k, k, C, 1], the others [k, k, C, filters].
    depthwise = isinstance(convolution, AtrousDepthwiseConv2D)
    return kernel * (scale[:, None] if depthwise else scale), beta - mean * scale
