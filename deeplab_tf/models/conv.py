"""The layers of the networks: atrous convolutions that run natively, and fused batch norm."""

import contextlib
import contextvars
import enum
from collections.abc import Iterator

import keras

from deeplab_tf.config import BatchNormMode

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    from deeplab_tf.models import atrous, depthwise, kernels, synchronized
else:
    tf = None


class Runs(enum.Enum):
    """The place where a graph will run, which decides the operations that the graph is made of."""

    HERE = "in this process: the fastest form on this machine, with a gradient"
    ANYWHERE = "on any device that TensorFlow knows; nobody asks for a gradient"
    CONVERTED = "in another runtime, to whose operations TensorFlow's own are converted"
    LITERT = "in LiteRT's float kernels, converted as for any other runtime"


_RUNS = contextvars.ContextVar("runs", default=Runs.HERE)


@contextlib.contextmanager
def traced_for(runs: Runs) -> Iterator[None]:
    """Makes convolutions that are traced inside the block suit a graph that will run at `runs`."""
    token = _RUNS.set(runs)
    try:
        yield
    finally:
        _RUNS.reset(token)


@keras.saving.register_keras_serializable("deeplab_tf")
class AtrousConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` whose `dilation_rate` (the paper's *atrous rate*) runs natively.

    Keras' own layer lowers a dilated convolution to SpaceToBatch, convolution and BatchToSpace,
    which costs several times the convolution at the paper's rates and leaves odd operations in
    TFLite files. Arguments, weights and results are those of the parent, to rounding; see
    `models.atrous`. A graph that will run elsewhere is traced inside `traced_for`, as
    deeplab-export does.

    Example:
        >>> layer = AtrousConv2D(256, 3, padding="same", dilation_rate=12)
        >>> layer(keras.ops.ones((1, 33, 33, 64))).shape
        TensorShape([1, 33, 33, 256])
    """

    def convolution_op(self, inputs, kernel):
        """Convolves [B, H, W, C] by [k, k, C / groups, filters] to [B, H', W', filters]."""
        if tf is None or self.data_format != "channels_last" or max(self.strides) > 1:
            return super().convolution_op(inputs, kernel)
        convolve = {Runs.HERE: atrous.convolve, Runs.LITERT: atrous.convolve_in_litert}.get(
            _RUNS.get(), atrous.convolve_anywhere
        )
        kernel = tf.convert_to_tensor(kernel)
        return convolve(inputs, kernel, self.dilation_rate, self.padding.upper())


@keras.saving.register_keras_serializable("deeplab_tf")
class AtrousDepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D` whose `dilation_rate` (the *atrous rate*) runs natively.

    Arguments, weights and results are those of the parent, to rounding; see `models.depthwise`.
    """

    def call(self, inputs):
        """Convolves [B, H, W, C] to [B, H', W', C * depth_multiplier]."""
        if tf is None or self.data_format != "channels_last" or max(self.dilation_rate) == 1:
            return super().call(inputs)
        convolve = {
            Runs.HERE: depthwise.convolve,
            Runs.ANYWHERE: depthwise.by_phases,
            Runs.CONVERTED: depthwise.native,
            Runs.LITERT: depthwise.native,
        }[_RUNS.get()]
        kernel = tf.convert_to_tensor(self.kernel)
        y = convolve(inputs, kernel, self.dilation_rate, self.padding.upper())
        if self.use_bias:
            y = tf.nn.bias_add(y, tf.convert_to_tensor(self.bias))
        return y if self.activation is None else self.activation(y)


@keras.saving.register_keras_serializable("deeplab_tf")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` over channels in one fused operation, forward and backward.

    Keras' own layer writes mean, variance and normalisation as separate operations. Results equal
    the parent's to rounding; the moving variance keeps the parent's convention (not
    Bessel-corrected). The parent runs where the fused operation has no form: another backend or
    axis, a mask, no gamma or beta. Training with `synchronized=True` is `models.synchronized`;
    inference by oneDNN's AVX2 kernels is not fused, see `_scaled`.

    Attributes:
        holds_statistics: whether training normalises by the moving statistics and leaves them as
            they are, while gamma and beta learn.
    """

    holds_statistics = False

    def call(self, inputs, training=None, mask=None):
        """Normalises [B, H, W, C] of any float type; the result has the same shape and dtype."""
        training = training and not self.holds_statistics
        train = bool(training and self.trainable)
        plain = self.scale and self.center and self.axis in (-1, len(inputs.shape) - 1)
        if tf is None or not plain or mask is not None:
            return super().call(inputs, training=training, mask=mask)
        if (
            not train
            and _RUNS.get() is Runs.HERE
            and kernels.fuses_batch_norm_badly(keras.backend.standardize_dtype(inputs.dtype))
        ):
            return self._scaled(inputs)
        if train and self.synchronized:
            output, mean, variance = synchronized.normalize(
                inputs,
                tf.cast(self.gamma, tf.float32),
                tf.cast(self.beta, tf.float32),
                tf.convert_to_tensor(self.moving_mean),
                self.epsilon,
            )
            self._move_statistics(mean, variance)
            return output
        # tf.compat.v1.nn.fused_batch_norm silently raises the paper's epsilon of 1e-5 to 1.001e-5,
        # so the raw operation is called.
        output, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.cast(self.gamma, tf.float32),
            offset=tf.cast(self.beta, tf.float32),
            mean=[] if train else tf.convert_to_tensor(self.moving_mean),
            variance=[] if train else tf.convert_to_tensor(self.moving_variance),
            epsilon=self.epsilon,
            is_training=train,
        )
        if train:
            self._move_statistics(mean, variance * _uncorrected(inputs))
        return output

    def _move_statistics(self, mean, variance):
        keep = self.momentum
        self.moving_mean.assign(self.moving_mean * keep + mean * (1.0 - keep))
        self.moving_variance.assign(self.moving_variance * keep + variance * (1.0 - keep))

    def _scaled(self, inputs):
        """Normalises float32 for inference by operations that TensorFlow does not fuse.

        oneDNN's AVX2 kernels take several times as long for a convolution fused with a batch norm.
        """
        variance = tf.convert_to_tensor(self.moving_variance)
        scale = tf.cast(self.gamma, tf.float32) * tf.math.rsqrt(variance + self.epsilon)
        offset = tf.cast(self.beta, tf.float32) - tf.convert_to_tensor(self.moving_mean) * scale
        return tf.nn.bias_add(inputs * scale, offset)


def _uncorrected(inputs):
    """Returns the factor that undoes Bessel's correction of a variance over [B, H, W, C]."""
    if inputs.shape[:3].is_fully_defined():
        count = max(1, inputs.shape[:3].num_elements())
    else:
        count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:3]), tf.float32)
    return (count - 1.0) / count


def set_batch_norm_mode(model: keras.Model, mode: BatchNormMode, replicas: int) -> None:
    """Makes every batch norm of `model` train, synchronise over `replicas`, or stay frozen.

    Frozen layers use their moving statistics, which then never change, and keep gamma and beta, as
    the paper freezes the batch normalization parameters (section 4.1). `replicas` is the number of
    devices over which a batch is spread.
    """
    for layer in model.layers:
        if isinstance(layer, FusedBatchNormalization):
            layer.trainable = mode is not BatchNormMode.FROZEN
            # On one device the fused operation already sees the whole batch.
            layer.synchronized = mode is BatchNormMode.SYNC and replicas > 1


def decayed_kernels(model: keras.Model) -> list[keras.Variable]:
    """Lists the variables under weight decay: the kernels of convolutions that are not depthwise.

    Depthwise kernels, biases and batch norms have no weight decay.
    """
    return [layer.kernel for layer in model.layers if isinstance(layer, AtrousConv2D)]
