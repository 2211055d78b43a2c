"""Times our native atrous convolution beside Keras' own lowering, in pairs in one run.

    python tests/benchmarks/atrous_convolution.py
    python tests/benchmarks/atrous_convolution.py --network --backbone=resnet101 --image_size=513

Without --network: one 3x3 convolution, 512 to 512 channels on a 33x33 map. With it: the whole
network's inference at output_stride 8 and a training step of two crops of half the side. The two
ways take turns, so that a drift of the machine meets both; each figure is the median, the ratio
that of the medians.
"""

import functools
import os
import statistics
import time
from collections.abc import Callable
from unittest import mock

from absl import app, flags

ROUNDS = flags.DEFINE_integer("rounds", 9, "times each way runs, after one to warm up")
NETWORK = flags.DEFINE_bool("network", False, "time a whole network instead of one layer")
BACKBONE = flags.DEFINE_string("backbone", "resnet101", "the network's backbone")
IMAGE_SIZE = flags.DEFINE_integer("image_size", 513, "side of the network's image in pixels")


def main(_) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    print(f"{'':<28}{'Keras, s':>10}{'native, s':>11}{'ratio':>8}")
    for name, (keras_way, native) in (_networks() if NETWORK.value else _layers()).items():
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


def _networks() -> dict[str, tuple[Callable, Callable]]:
    import numpy as np
    import tensorflow as tf

    from deeplab_tf.config import Backbone, ModelConfig, TrainConfig
    from deeplab_tf.models import build_model, conv
    from deeplab_tf.training.step import make_optimizer, make_train_step

    config = ModelConfig(backbone=Backbone(BACKBONE.value), output_stride=8, num_classes=21)
    rng, side = np.random.default_rng(0), IMAGE_SIZE.value
    image = tf.constant(rng.integers(0, 256, (1, side, side, 3)), tf.uint8)
    half = side // 2 + 1
    crops = tf.constant(rng.uniform(0, 255, (2, half, half, 3)), tf.float32)
    labels = tf.constant(rng.integers(0, 21, (2, half, half)), tf.uint8)
    inference, training = [], []
    for native in (False, True):
        # Keras' way is what the layer falls back to where TensorFlow has no native gradient.
        with mock.patch.object(conv, "_native_atrous_gradient", lambda native=native: native):
            model = build_model(config)
            predict = tf.function(lambda x, model=model: model(x, training=False))
            predict(image)
            step = make_train_step(
                model, make_optimizer(TrainConfig()), tf.distribute.get_strategy(), 1e-4
            )
            step(crops, labels)
        inference.append(functools.partial(predict, image))
        training.append(functools.partial(step, crops, labels))
    return {
        f"inference {side}x{side}": tuple(inference),
        f"training step 2x{half}x{half}": tuple(training),
    }


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
