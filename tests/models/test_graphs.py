"""No graph of ours runs an atrous convolution by SpaceToBatch, several times as slow."""

import ast
import collections
import pathlib
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

import deeplab_tf
from deeplab_tf.config import Backbone, ModelConfig
from deeplab_tf.models import build_model, kernels
from deeplab_tf.models.conv import Runs, traced_for
from deeplab_tf.models.kernels import OneDNN

CONVOLUTIONS = ("Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter")


def nodes(concrete):
    """Every node of a concrete function and of all functions that it calls, at any depth."""
    graph = concrete.graph.as_graph_def()
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def read(concrete):
    """How often each operation occurs; an atrous convolution is counted as `Conv2D atrous`."""
    counts = collections.Counter()
    for node in nodes(concrete):
        atrous = node.op in CONVOLUTIONS and max(node.attr["dilations"].list.i, default=1) > 1
        counts[f"{node.op} atrous" if atrous else node.op] += 1
    return counts


def odd(counts):
    return [op for op in counts if "SpaceToBatch" in op or "BatchToSpace" in op]


def forward_graph(model, shape):
    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32)])
    def forward(image):
        return model(image, training=False)

    return read(forward.get_concrete_function())


def gradient_graph(model, shape):
    """A training step's graph with its gradient."""

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32)])
    def gradient(image):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(image, training=True) ** 2)
        return tape.gradient(loss, model.trainable_weights)

    return read(gradient.get_concrete_function())


DYNAMIC, STATIC = (None, None, None, 3), (2, 65, 97, 3)


# Units with rate > 1 by the paper: at 16 that of block4; at 8 also block3's, at 4 also block2's;
# by a multi-grid of 2 that of block4 at 32 too. The tiny network has a unit a block. The ASPP adds
# 3.
@pytest.mark.parametrize(
    ("output_stride", "atrous", "shape"),
    [
        (32, 1 + 3, DYNAMIC),
        (16, 1 + 3, DYNAMIC),
        (8, 1 + 1 + 3, DYNAMIC),
        (4, 1 + 1 + 1 + 3, DYNAMIC),
        (16, 1 + 3, STATIC),
        (8, 1 + 1 + 3, STATIC),
    ],
)
def test_whole_model_runs_atrous_convolutions_natively(output_stride, atrous, shape):
    model = build_model(
        ModelConfig(
            backbone=Backbone.RESNET_TINY,
            multi_grid=(2,),
            output_stride=output_stride,
            num_classes=5,
        )
    )
    check(model, shape, atrous, OneDNN if (output_stride, shape) == (16, STATIC) else [OneDNN.OFF])


def check(model, shape, atrous, machines):
    """Both graphs as each kind of machine would have them, and the one for any machine."""
    for machine in machines:
        with mock.patch.object(kernels, "onednn", lambda dtype, machine=machine: machine):
            forward, gradient = forward_graph(model, shape), gradient_graph(model, shape)
        assert odd(forward) == [] and odd(gradient) == []
        # Which only oneDNN has; that by taps is the faster.
        assert gradient["Conv2DBackpropFilter atrous"] == 0
        from_onednn = 0 if machine is OneDNN.OFF else atrous
        assert gradient["Conv2DBackpropInput atrous"] == from_onednn
        if machine is OneDNN.AVX512:
            assert forward["Conv2D atrous"] == gradient["Conv2D atrous"] == atrous
    with traced_for(Runs.ANYWHERE):
        forward = forward_graph(model, shape)
    assert odd(forward) == [] and forward["IdentityN"] == 0
    assert forward["Conv2D atrous"] == atrous
    return forward


def test_resnet50_at_output_stride_8():
    model_config = ModelConfig(backbone=Backbone.RESNET50, output_stride=8, num_classes=21)
    # block3 has 6 units, block4 3, the ASPP 3 atrous branches.
    forward = check(build_model(model_config), DYNAMIC, 12, [OneDNN.AVX512])
    # 49 in the backbone, 4 projections, ASPP's 1x1, pooling, projection, logits: all but 12.
    assert forward["Conv2D"] == 49 + 4 + 4 + 3 - 12


@pytest.mark.parametrize("shape", [STATIC, DYNAMIC])
def test_the_reader_sees_keras_own_dilated_convolution(shape):
    """The control: the tests above can fail."""
    model = keras.Sequential([keras.Input(shape[1:]), keras.layers.Conv2D(4, 3, dilation_rate=2)])
    for counts in (forward_graph(model, shape), gradient_graph(model, shape)):
        assert {"SpaceToBatchND", "BatchToSpaceND"} <= set(odd(counts))
        assert counts["Conv2D atrous"] == 0


def test_the_reader_sees_nested_functions():
    layer = keras.layers.Conv2D(4, 3, dilation_rate=2)
    layer(np.zeros((1, 9, 9, 3), np.float32))

    @tf.function
    def inner(image):
        return tf.while_loop(
            lambda i, y: i < 3, lambda i, y: (i + 1, layer(image)), (0, tf.zeros((1, 5, 5, 4)))
        )[1]

    @tf.function(input_signature=[tf.TensorSpec((1, 9, 9, 3))])
    def outer(image):
        return inner(image)

    concrete = outer.get_concrete_function()
    assert not any("SpaceToBatch" in node.op for node in concrete.graph.as_graph_def().node)
    assert odd(read(concrete))


def test_no_function_is_rewritten_by_autograph():
    """Each `tf.function` of the package is called with `autograph=False`, also as a decorator."""
    root = pathlib.Path(deeplab_tf.__file__).parents[1]
    named, right = 0, 0
    for path in (*root.glob("deeplab_tf/**/*.py"), *root.glob("export/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named += isinstance(node, ast.Attribute) and ast.unparse(node) == "tf.function"
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "tf.function":
                given = {each.arg: ast.unparse(each.value) for each in node.keywords}
                assert given.get("autograph") == "False", f"{path}:{node.lineno}"
                right += 1
    assert right == named > 10
