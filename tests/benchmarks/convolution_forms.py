"""Times each form of an atrous convolution, forward and backward, in turns in one run.

    python tests/benchmarks/convolution_forms.py
    TF_ENABLE_ONEDNN_OPTS=0 python tests/benchmarks/convolution_forms.py
    ONEDNN_MAX_CPU_ISA=AVX2 python tests/benchmarks/convolution_forms.py
    python tests/benchmarks/convolution_forms.py --litert

The borders in `deeplab_tf/models/atrous.py` are read from this table: wall milliseconds, medians.
`chosen` is the form that the network takes, with its gradients; Keras' own goes by SpaceToBatch.
`input` and `kernel` are the two gradients: TensorFlow's own (`own`, where oneDNN has it) and ours.
With `--litert` each form runs forward in LiteRT, from a float file of fixed size.
"""

import functools
import os
import statistics
from collections.abc import Callable

from absl import app, flags
from suite.turns import in_turns

ROUNDS = flags.DEFINE_integer("rounds", 7, "times each way runs, after two to warm up")
KERAS = flags.DEFINE_boolean("keras", True, "time Keras' own dilated convolution too")
LITERT = flags.DEFINE_boolean("litert", False, "time the forms in LiteRT instead, on two threads")

CASES = [
    (1, 33, 2048, 256, 6),
    (1, 33, 2048, 256, 12),
    (1, 33, 2048, 256, 18),
    (1, 33, 512, 512, 16),
    (1, 33, 512, 512, 64),
    (1, 65, 512, 512, 4),
    (1, 33, 256, 256, 2),
    (1, 33, 256, 256, 1),
    (4, 33, 2048, 256, 6),
    (4, 33, 2048, 256, 12),
    (4, 33, 2048, 256, 18),
    (4, 33, 512, 512, 64),
    (4, 33, 256, 256, 2),
]
"""Images, rows and columns, channels, filters, rate."""


def main(_) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from deeplab_tf.models import kernels
    from deeplab_tf.models.atrous import best_form, litert_form, zeros_around

    print("LiteRT" if LITERT.value else f"oneDNN: {kernels.onednn('float32').name}")
    for batch, side, channels, filters, rate in CASES:
        shape, kernel = (batch, side, side, channels), (3, 3, channels, filters)
        pads = zeros_around(kernel, (rate, rate), "SAME")
        form = best_form(shape, kernel, (rate, rate), pads, "float32").name.lower()
        if LITERT.value:
            form = litert_form(shape, kernel, (rate, rate), pads).name.lower()
        ways = _litert_ways if LITERT.value else _ways
        times = _medians(ways(shape, kernel, rate))
        told = "  ".join(f"{name} {1e3 * seconds:.0f}" for name, seconds in times.items())
        head = f"{batch}x{side}x{side}, {channels} to {filters}, rate {rate}"
        print(f"{head:<34}chosen {form:<8}{told}", flush=True)


def _ways(shape, kernel_shape, rate: int) -> dict[str, Callable]:
    import keras
    import tensorflow as tf

    from deeplab_tf.models import atrous, kernels

    rates = (rate, rate)
    pads = atrous.zeros_around(kernel_shape, rates, "SAME")
    x = tf.random.stateless_normal(shape, (0, 0))
    kernel = tf.Variable(tf.random.stateless_normal(kernel_shape, (0, 1)))
    dy = tf.random.stateless_normal((*shape[:3], kernel_shape[-1]), (0, 2))

    def both(convolve):
        with tf.GradientTape() as tape:
            weights = tf.convert_to_tensor(kernel)
            tape.watch([x, weights])
            y = convolve(x, weights)
        return tape.gradient(y, [x, weights], output_gradients=dy)

    def keras_own(x, weights):
        return keras.ops.conv(x, weights, padding="same", dilation_rate=rate)

    def ours(x, weights):
        return atrous.convolve(x, weights, rates, "SAME")

    ways = {
        form.name.lower(): functools.partial(
            lambda form: atrous.in_form(form, x, tf.convert_to_tensor(kernel), rates, pads), form
        )
        for form in atrous.Form
    }
    if kernels.onednn("float32") is not kernels.OneDNN.OFF:
        native = {"strides": [1] * 4, "padding": "SAME", "dilations": [1, rate, rate, 1]}
        ways["own input"] = lambda: tf.raw_ops.Conv2DBackpropInput(
            input_sizes=shape, filter=kernel.value(), out_backprop=dy, **native
        )
        ways["own kernel"] = lambda: tf.raw_ops.Conv2DBackpropFilter(
            input=x, filter_sizes=kernel_shape, out_backprop=dy, **native
        )
    ways["our kernel"] = lambda: atrous.filter_gradient(x, dy, kernel_shape[:2], rates, pads)
    ways["both"] = lambda: both(ours)
    if KERAS.value:
        ways["Keras, both"] = lambda: both(keras_own)
    return {name: tf.function(way, autograph=False) for name, way in ways.items()}


def _litert_ways(shape, kernel_shape, rate: int) -> dict[str, Callable]:
    from deeplab_tf.models import atrous

    return {form.name.lower(): _litert_way(form, shape, kernel_shape, rate) for form in atrous.Form}


def _litert_way(form, shape, kernel_shape, rate: int) -> Callable:
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    from deeplab_tf.models import atrous

    kernel = tf.random.stateless_normal(kernel_shape, (0, 1))
    pads = atrous.zeros_around(kernel_shape, (rate, rate), "SAME")

    @tf.function(input_signature=[tf.TensorSpec(shape)])
    def forward(x):
        return atrous.in_form(form, x, kernel, (rate, rate), pads)

    graph = forward.get_concrete_function()
    file = tf.lite.TFLiteConverter.from_concrete_functions([graph], forward).convert()
    interpreter = Interpreter(model_content=file, num_threads=2)
    interpreter.allocate_tensors()
    (taken,) = interpreter.get_input_details()
    interpreter.set_tensor(taken["index"], tf.random.stateless_normal(shape, (0, 0)))
    return interpreter.invoke


def _medians(ways: dict[str, Callable]) -> dict[str, float]:
    """Wall seconds of each, taking turns."""
    import tensorflow as tf

    def read(way: Callable) -> None:
        tf.nest.map_structure(lambda tensor: tensor.numpy(), way())

    reading = ways if LITERT.value else {n: functools.partial(read, way) for n, way in ways.items()}
    seconds, failures = in_turns(reading, ROUNDS.value, warm_up=2)
    if failures:
        raise SystemExit(f"not measured: {failures}")
    return {name: statistics.median(taken) for name, taken in seconds.items()}


if __name__ == "__main__":
    app.run(main)
