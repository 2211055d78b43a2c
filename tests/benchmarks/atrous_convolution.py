"""Times our native atrous convolution beside Keras' own lowering, in pairs in one run.

    python tests/benchmarks/atrous_convolution.py

One 3x3 convolution, 512 to 512 channels on a 33x33 map; `make bench` has whole networks. The two
ways take turns, so that a drift of the machine meets both; each figure is the median, the ratio
that of the medians.
"""

import functools
import os
import statistics
import time
from collections.abc import Callable

from absl import app, flags

ROUNDS = flags.DEFINE_integer("rounds", 9, "times each way runs, after one to warm up")


def main(_) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    print(f"{'':<28}{'Keras, s':>10}{'native, s':>11}{'ratio':>8}")
    for name, (keras_way, native) in _layers().items():
        seconds = _paired_medians(keras_way, native)
        print(f"{name:<28}{seconds[0]:>10.3f}{seconds[1]:>11.3f}{seconds[0] / seconds[1]:>8.1f}")


def _layers() -> dict[str, tuple[Callable, Callable]]:
    import keras
    import tensorflow as tf

    from deeplab_tf import AtrousConv2D

    x = tf.random.stateless_normal((2, 33, 33, 512), (0, 0))
    pairs = {}
    for rate in (6, 12, 18):
        forward, backward = [], []
        for cls in (keras.layers.Conv2D, AtrousConv2D):
            layer = cls(512, 3, padding="same", dilation_rate=rate, use_bias=False)
            layer.build(x.shape)
            forward.append(functools.partial(_compiled(layer), x))
            backward.append(functools.partial(_compiled(layer, gradient=True), x))
        pairs[f"rate {rate} forward"] = tuple(forward)
        pairs[f"rate {rate} with gradient"] = tuple(backward)
    return pairs


def _compiled(layer, gradient: bool = False) -> Callable:
    """A graph of the layer's output, or of the gradients of its sum."""
    import tensorflow as tf

    @tf.function
    def forward(x):
        return layer(x)

    @tf.function
    def backward(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(layer(x))
        return tape.gradient(total, [x, *layer.trainable_variables])

    return backward if gradient else forward


def _paired_medians(first: Callable, second: Callable) -> tuple[float, float]:
    """Median wall seconds of each, taking turns."""
    import tensorflow as tf

    times = ([], [])
    for _ in range(ROUNDS.value + 1):
        for way, measured in zip((first, second), times, strict=True):
            begin = time.perf_counter()
            tf.nest.map_structure(lambda t: t.numpy(), way())
            measured.append(time.perf_counter() - begin)
    return tuple(statistics.median(measured[1:]) for measured in times)


if __name__ == "__main__":
    app.run(main)
