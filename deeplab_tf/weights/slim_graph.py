"""The networks that `slim.py` imports, as graphs of the tf-slim package, to compare with.

The graphs follow TF-Slim's and DeepLab's descriptions and not our code: the ResNets are the
package's own, and MobileNetV2 and DeepLab's head are built of the package's layers.

Tested in tests/parity/live.py, through `make parity`.
"""

import importlib
import sys
import warnings
from typing import Any

import numpy as np

from deeplab_tf.config import ModelConfig
from deeplab_tf.weights.imported import NoRuntimeError, Reference

# Each block of MobileNetV2: the expansion, the number of units, the stride of the first unit.
_BOTTLENECKS = ((1, 1, 1), (6, 2, 2), (6, 3, 2), (6, 4, 2), (6, 3, 1), (6, 3, 2), (6, 1, 1))

# The number of units in each block of the ResNets.
_UNITS = {"resnet_v1_50": (3, 4, 6, 3), "resnet_v1_101": (3, 4, 23, 3)}


def run_slim(arrays: dict[str, np.ndarray], scope: str, model_config: ModelConfig) -> Reference:
    """Opens a session of the graph with the variables of `arrays`; returns a function that runs it.

    The function gives labels and logits or, for a classifier, only the last map.

    Raises:
        NoRuntimeError: tf-slim or tf-keras is not installed.
    """
    slim = _import_slim()
    tf1 = importlib.import_module("tensorflow").compat.v1
    graph = tf1.Graph()
    with graph.as_default(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow deprecates layers that tf-slim uses
        image = tf1.placeholder(tf1.float32, [1, None, None, 3])
        with slim.arg_scope(_arg_scope(slim, epsilon=1e-5)):
            if scope in _UNITS:
                net = _resnet(slim, tf1, image, scope, arrays, model_config.output_stride)
            else:
                net = _mobilenet_v2(slim, tf1, image, arrays, model_config.output_stride)
            if model_config.num_classes is not None:
                net = _head(slim, tf1, net, arrays, model_config)
                net = tf1.image.resize_bilinear(net, tf1.shape(image)[1:3], align_corners=True)
        session = tf1.Session()
        for variable in tf1.global_variables():
            variable.load(arrays[variable.op.name], session)
    beta_or_mobile = f"{scope}/conv1/weights" not in arrays

    def run(pixels: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
        fed = pixels.astype(np.float32)
        if beta_or_mobile:
            fed = fed * np.float32(2 / 255) - np.float32(1)
        else:
            fed = fed - np.array([123.15, 115.90, 103.06], np.float32)
        output = session.run(net, {image: fed})
        return None if model_config.num_classes is None else output.argmax(axis=-1), output

    return run


def _import_slim() -> Any:
    """Imports tf-slim, whose batch norm needs a module that newer tf-keras releases have moved."""
    try:
        moved = importlib.import_module("tf_keras.src.legacy_tf_layers")
        sys.modules.setdefault("tf_keras.legacy_tf_layers", moved)
        for part in ("base", "convolutional", "core", "normalization", "pooling"):
            module = importlib.import_module(f"tf_keras.src.legacy_tf_layers.{part}")
            sys.modules.setdefault(f"tf_keras.legacy_tf_layers.{part}", module)
        return importlib.import_module("tf_slim")
    except ImportError as error:
        raise NoRuntimeError("pip install tf-slim tf-keras") from error


def _arg_scope(slim: Any, epsilon: float) -> dict:
    with (
        slim.arg_scope(
            [slim.conv2d, slim.separable_conv2d],
            normalizer_fn=slim.batch_norm,
            weights_regularizer=None,
        ),
        slim.arg_scope([slim.batch_norm], epsilon=epsilon, scale=True, is_training=False) as scope,
    ):
        return scope


def _resnet(
    slim: Any, tf1: Any, x: Any, scope: str, arrays: dict[str, np.ndarray], output_stride: int
) -> Any:
    nets = importlib.import_module("tf_slim.nets.resnet_v1")
    utils = importlib.import_module("tf_slim.nets.resnet_utils")
    strides = (2, 2, 2, 1)
    blocks = [
        nets.resnet_v1_block(f"block{i}", base_depth=64 * 2 ** (i - 1), num_units=n, stride=s)
        for i, (n, s) in enumerate(zip(_UNITS[scope], strides, strict=True), start=1)
    ]
    if f"{scope}/conv1/weights" in arrays:
        with slim.arg_scope([slim.max_pool2d], padding="SAME"):
            return nets.resnet_v1(
                x,
                blocks,
                num_classes=None,
                is_training=False,
                global_pool=False,
                output_stride=output_stride,
                scope=scope,
            )[0]
    with tf1.variable_scope(scope):
        x = utils.conv2d_same(x, 64, 3, stride=2, scope="conv1_1")
        x = utils.conv2d_same(x, 64, 3, stride=1, scope="conv1_2")
        x = utils.conv2d_same(x, 128, 3, stride=1, scope="conv1_3")
        x = slim.max_pool2d(x, 3, stride=2, padding="SAME", scope="pool1")
        return utils.stack_blocks_dense(x, blocks, output_stride / 4)


def _mobilenet_v2(
    slim: Any, tf1: Any, x: Any, arrays: dict[str, np.ndarray], output_stride: int
) -> Any:
    root = "MobilenetV2"

    def channels(name: str) -> int:
        return arrays[f"{root}/{name}/weights"].shape[-1]

    with (
        tf1.variable_scope(root),
        slim.arg_scope([slim.batch_norm], epsilon=1e-3),
        slim.arg_scope([slim.conv2d, slim.separable_conv2d], activation_fn=tf1.nn.relu6),
    ):
        x = slim.conv2d(x, channels("Conv"), 3, stride=2, scope="Conv")
        reached, rate, index = 2, 1, 0
        for expansion, units, first_stride in _BOTTLENECKS:
            for unit in range(units):
                name = f"expanded_conv_{index}" if index else "expanded_conv"
                stride = first_stride if unit == 0 else 1
                dropped = stride if reached == output_stride else 1
                with tf1.variable_scope(name):
                    y = x
                    if expansion > 1:
                        wide = expansion * int(x.shape[-1])
                        y = slim.conv2d(y, wide, 1, scope="expand")
                    y = slim.separable_conv2d(
                        y,
                        None,
                        3,
                        depth_multiplier=1,
                        stride=stride // dropped,
                        rate=rate,
                        scope="depthwise",
                    )
                    out = channels(f"{name}/project")
                    y = slim.conv2d(y, out, 1, activation_fn=None, scope="project")
                x = x + y if stride == 1 and out == int(x.shape[-1]) else y
                reached, rate, index = reached * stride // dropped, rate * dropped, index + 1
    return x


def _head(
    slim: Any, tf1: Any, x: Any, arrays: dict[str, np.ndarray], model_config: ModelConfig
) -> Any:
    if "concat_projection/weights" in arrays:
        branches = []
        if "image_pooling/weights" in arrays:
            pooled = tf1.reduce_mean(x, [1, 2], keepdims=True)
            pooled = slim.conv2d(pooled, 256, 1, scope="image_pooling")
            size = tf1.shape(x)[1:3]
            branches.append(tf1.image.resize_bilinear(pooled, size, align_corners=True))
        branches.append(slim.conv2d(x, 256, 1, scope="aspp0"))
        for index, rate in enumerate(model_config.aspp_rates, start=1):
            rate = rate * 16 // model_config.output_stride
            branches.append(slim.conv2d(x, 256, 3, rate=rate, scope=f"aspp{index}"))
        x = slim.conv2d(tf1.concat(branches, 3), 256, 1, scope="concat_projection")
    return slim.conv2d(
        x,
        model_config.num_classes,
        1,
        activation_fn=None,
        normalizer_fn=None,
        scope="logits/semantic",
    )
