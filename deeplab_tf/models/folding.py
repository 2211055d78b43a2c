"""Batch norms folded into the convolutions before them: the same function in fewer operations."""

import keras
import numpy as np

from deeplab_tf.models.conv import AtrousDepthwiseConv2D, FusedBatchNormalization

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
else:
    tf = None


def folded(model: keras.Model) -> keras.Model:
    """A network for inference alone that computes what `model` does, to float32 rounding.

    Of a convolution and its batch norm there remain the convolution, its kernel multiplied by
    gamma / sqrt(variance + epsilon), and a bias, which TensorFlow computes as one operation with
    the ReLU, and with the addition before it. Layers keep their names.

    Args:
        model: one of ours, in which each batch norm follows a convolution without bias.
    """
    network = keras.models.clone_model(model, clone_function=_clone)
    for layer in model.layers:
        if not isinstance(layer, FusedBatchNormalization):
            continue
        convolution = layer.input._keras_history.operation
        kernel, bias = _folded_weights(convolution, layer)
        network.get_layer(convolution.name).set_weights([kernel])
        network.get_layer(layer.name).set_weights([bias])
    for layer in network.layers:
        if layer.weights and getattr(layer, "use_bias", False):  # which have no batch norm
            layer.set_weights(model.get_layer(layer.name).get_weights())
    return network


class _Bias(keras.layers.Layer):
    """What a folded batch norm leaves: one number a channel, added."""

    def build(self, input_shape):
        self.bias = self.add_weight(shape=(input_shape[-1],), name="bias")

    def call(self, inputs, training=None, mask=None):
        """[B, H, W, C] -> the same shape."""
        if tf is None:
            return inputs + keras.ops.cast(self.bias, inputs.dtype)
        # TensorFlow does not fuse a plain addition with the convolution.
        return tf.nn.bias_add(inputs, tf.cast(self.bias.value, inputs.dtype))


def _clone(layer: keras.Layer) -> keras.Layer:
    if isinstance(layer, FusedBatchNormalization):
        return _Bias(name=layer.name, dtype=layer.dtype_policy)
    return layer.__class__.from_config(layer.get_config())


def _folded_weights(
    convolution: keras.Layer, batch_norm: FusedBatchNormalization
) -> tuple[np.ndarray, np.ndarray]:
    """The kernel and the bias, computed in float64."""
    (kernel,) = (weight.astype(np.float64) for weight in convolution.get_weights())
    gamma, beta, mean, variance = (w.astype(np.float64) for w in batch_norm.get_weights())
    scale = gamma / np.sqrt(variance + batch_norm.epsilon)
    # A depthwise kernel is [k, k, C, 1], the others [k, k, C, filters].
    depthwise = isinstance(convolution, AtrousDepthwiseConv2D)
    return kernel * (scale[:, None] if depthwise else scale), beta - mean * scale
