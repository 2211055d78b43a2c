"""The inputs of convolutions, against LiteRT's own outputs; and integers put into a file."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.artefacts.litert import new_interpreter
from deeplab_tf.export import full_int8
from deeplab_tf.export.convolutions import ConvolutionFile
from deeplab_tf.export.full_int8 import quantize_full
from deeplab_tf.export.images import ComparedImage
from deeplab_tf.export.input_moments import InputMoments, patches_of
from deeplab_tf.export.ranges import measure
from deeplab_tf.export.tensors import TensorReader


class AllPlaces:
    """Stands for a generator and chooses every output number, in order."""

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


def test_padding_is_neither_measured_nor_looked_at(content, pictures, monkeypatch):
    """A photo fills 6 rows and 9 columns, and the rest is far from all pixels of photos."""
    image = np.where(np.arange(13)[:, None] < 9, pictures[0], 255)
    image[6:] = 255
    file, reader = ConvolutionFile(content), TensorReader(content)
    read = reader.run(image)
    monkeypatch.setattr("deeplab_tf.export.input_moments.POSITIONS", 10**6)
    moments = InputMoments(file.convolutions)
    padded = ComparedImage("", image, inner=(6, 9))
    measured = measure(reader, [padded], moments.add)
    kept = {(5, 7): (3, 5), (4, 5): (3, 4)}  # rows and columns of all, and of the photo alone
    for convolution in file.convolutions:
        output = read(convolution.output)
        rows, columns = kept[output.shape[1:3]]
        inside = output[:, :rows, :columns]
        assert measured.extremes[convolution.output] == (inside.min(), inside.max())
        patches = patches_of(read(convolution.input)[0], convolution, AllPlaces())
        places = patches.reshape(*output.shape[1:3], *patches.shape[1:])[:rows, :columns]
        x = places.reshape(-1, *patches.shape[1:])
        if convolution.depthwise:
            expected = np.einsum("ntc,nuc->ctu", x, x) / len(x)
        else:
            flat = x.reshape(len(x), -1)
            expected = flat.T @ flat / len(flat)
        np.testing.assert_allclose(moments.of(convolution), expected, rtol=1e-3, atol=1e-5)
    filled = padded._replace(filled=np.full_like(image, 7))
    assert measure(reader, [filled]).extremes[reader.input] == (7, 7)  # without the missing


def test_integers_are_put_in_and_lose_less(content, pictures, monkeypatch):
    exact = ConvolutionFile(content)
    calibration = [ComparedImage("", picture) for picture in pictures[:5]]
    found = {True: quantize_full(content, ["logits"], calibration)}
    monkeypatch.setattr(full_int8, "with_fitted_weights", lambda nearest, *_: nearest)
    found[False] = quantize_full(content, ["logits"], calibration)
    farthest = {}
    for fitted, integers in found.items():
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
        farthest[fitted] = max(worst)
    assert farthest[False] < 0.51 < farthest[True] < 4
    interpreter = new_interpreter(model_content=found[True])
    assert interpreter.get_output_details()[0]["dtype"] == np.uint8


def test_large_convolutions_have_no_moments(content, pictures, monkeypatch):
    monkeypatch.setattr("deeplab_tf.export.input_moments.MOST_WEIGHTS", 20)
    file = ConvolutionFile(content)
    moments = InputMoments(file.convolutions)
    moments.add(TensorReader(content).run(pictures[0]))
    known = [moments.of(convolution) is not None for convolution in file.convolutions]
    assert known == [False, True, False, True]  # 27 weights, depthwise, 24 and 5
