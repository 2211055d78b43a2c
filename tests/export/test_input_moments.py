"""The inputs of convolutions, against LiteRT's own outputs; and integers put into a file."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.artefacts.litert import new_interpreter
from deeplab_tf.export.convolutions import ConvolutionFile
from deeplab_tf.export.full_int8 import Fit, quantize_full
from deeplab_tf.export.input_moments import InputMoments, patches_of
from deeplab_tf.export.tensors import TensorReader


class AllPlaces:
    """In the place of a generator: every output number, in order."""

    def choice(self, places, count, replace):
        return np.arange(places)


@pytest.fixture(scope="module")
def content():
    """A file with a strided, an atrous depthwise, a VALID and a 1x1 convolution."""
    rng = np.random.default_rng(0)
    kernels = [
        rng.normal(size=shape).astype(np.float32)
        for shape in ((3, 3, 3, 4), (3, 3, 4, 1), (2, 3, 4, 5), (1, 1, 5, 2))
    ]

    @tf.function(input_signature=[tf.TensorSpec((1, 10, 13, 3), tf.float32, name="images")])
    def serve(images):
        x = tf.nn.conv2d(images / 255, kernels[0], 2, "SAME") + 0.1
        x = tf.nn.depthwise_conv2d(x, kernels[1], [1, 1, 1, 1], "SAME", dilations=[2, 2]) - 0.2
        x = tf.nn.relu(tf.nn.conv2d(x, kernels[2], 1, "VALID") + np.float32([1, 0, 2, 0, 1]))
        return {"logits": tf.nn.conv2d(x, kernels[3], 1, "SAME") + 0.3}

    concrete = serve.get_concrete_function()
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()


@pytest.fixture(scope="module")
def pictures():
    return list(np.random.default_rng(1).integers(0, 256, (6, 10, 13, 3), np.uint8))


def test_weights_times_patches_are_the_outputs(content, pictures, monkeypatch):
    file, reader = ConvolutionFile(content), TensorReader(content)
    read = reader.run(pictures[0])
    monkeypatch.setattr("deeplab_tf.export.input_moments.POSITIONS", 10**6)
    moments = InputMoments(file.convolutions)
    moments.add(read)
    assert [c.depthwise for c in file.convolutions] == [False, True, False, False]
    for convolution in file.convolutions:
        patches = patches_of(read(convolution.input)[0], convolution, AllPlaces())
        weights, bias = file.weights(convolution), file.bias(convolution)
        if convolution.depthwise:
            sums = np.einsum("ntc,ct->nc", patches, weights) + bias
            expected = np.einsum("ntc,nuc->ctu", patches, patches) / len(patches)
        else:
            rows = patches.reshape(len(patches), -1)
            sums, expected = rows @ weights.T + bias, rows.T @ rows / len(rows)
        output = read(convolution.output)
        if output.min() >= 0:
            sums = np.maximum(sums, 0)
        np.testing.assert_allclose(sums, output.reshape(sums.shape), atol=1e-4)
        np.testing.assert_allclose(moments.of(convolution), expected, rtol=1e-3, atol=1e-5)


def test_integers_are_put_in_and_lose_less(content, pictures):
    exact = ConvolutionFile(content)
    found = {}
    for fit in (Fit(ranges=False, weights=False), Fit(ranges=False)):
        integers = quantize_full(content, ["logits"], pictures[:5], fit=fit)
        file = ConvolutionFile(integers)
        worst = []
        for rounded, float_one in zip(file.convolutions, exact.convolutions, strict=True):
            scales, weights = file.weight_scales(rounded), exact.weights(float_one)
            off = file.weights(rounded) - weights / scales[:, None]
            worst.append(np.abs(off).max())
            bias_scales = scales * file.input_scale(rounded)
            np.testing.assert_allclose(
                file.bias(rounded) * bias_scales, exact.bias(float_one), atol=bias_scales.max()
            )
        found[fit.weights] = (integers, worst)
    assert max(found[False][1]) < 0.51 < max(found[True][1]) < 4
    interpreter = new_interpreter(model_content=found[True][0])
    assert interpreter.get_output_details()[0]["dtype"] == np.uint8


def test_large_convolutions_have_no_moments(content, pictures, monkeypatch):
    monkeypatch.setattr("deeplab_tf.export.input_moments.MOST_WEIGHTS", 20)
    file = ConvolutionFile(content)
    moments = InputMoments(file.convolutions)
    moments.add(TensorReader(content).run(pictures[0]))
    known = [moments.of(convolution) is not None for convolution in file.convolutions]
    assert known == [False, True, False, True]  # 27 weights, depthwise, 24 and 5
