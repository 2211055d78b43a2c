"""Kinds of LiteRT files: dynamic-range int8, what they give, and images of any size."""

import collections

import numpy as np
import pytest
from support.random_model import random_picture

from deeplab_tf.artefacts.litert import CONVOLUTIONS, open_segmenter
from deeplab_tf.export.images import ComparedImage
from deeplab_tf.export.litert import Options, convert, export_litert, write_litert
from deeplab_tf.export.operations import litert_operations
from deeplab_tf.export.tensors import TensorReader
from deeplab_tf.inference.predictor import load_predictor
from deeplab_tf.models.conv import decayed_kernels

SIZE = (33, 49)


def test_dynamic_range_has_int8_weights_and_float_activations(trained):
    content = convert(trained, Options(image_size=SIZE, quantize="dynamic"))[0]
    assert not [name for name in litert_operations(content) if "QUANTIZE" in name]
    reader = TensorReader(content)
    convolutions = [o for o in reader.operations if o.kind in CONVOLUTIONS]
    assert len(convolutions) == 33
    kernels = collections.Counter(reader.dtypes[o.inputs[1]].name for o in convolutions)
    # The converter leaves kernels of less than 1024 numbers as they are.
    small = [k for k in decayed_kernels(trained.model) if np.prod(k.shape) < 1024]
    assert kernels == {"int8": 33 - len(small), "float32": len(small)}
    assert {reader.dtypes[o.output].name for o in convolutions} == {"float32"}
    assert len(content) < 1.1 * trained.model.count_params()  # bytes


@pytest.mark.parametrize("outputs", ["labels", "logits"])
def test_a_file_gives_what_is_asked_for(trained, pictures, outputs, tmp_path):
    exported = export_litert(
        trained, tmp_path / "a.tflite", pictures, Options(image_size=SIZE, outputs=outputs)
    )
    assert (exported.parity.largest_logit_difference is None) == (outputs == "labels")
    reader = TensorReader(exported.artefact.read_bytes())
    assert ("ARG_MAX" in {o.kind for o in reader.operations}) == (outputs == "labels")
    picture = random_picture(*SIZE)[None]
    expected = np.asarray(trained.model(picture))
    labels, logits = open_segmenter(exported.artefact).run(picture)
    assert np.mean(labels == expected.argmax(-1)) > 0.999
    if outputs == "logits":
        np.testing.assert_allclose(logits, expected, atol=1e-4)
    else:
        assert logits is None


@pytest.fixture(scope="module")
def any_size(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "model.tflite"
    write_litert(trained, path, Options(image_size=None))
    return path


def test_any_size_is_the_network_at_that_size(trained, any_size):
    segmenter, predictor = open_segmenter(any_size), load_predictor(any_size)
    assert segmenter.size is None
    for size in ((33, 49), (50, 33), (1, 70), (33, 49)):
        picture = random_picture(*size)[None]
        expected = np.asarray(trained.model(picture))
        labels, logits = segmenter.run(picture)
        assert logits is not None and logits.shape == expected.shape
        np.testing.assert_allclose(logits, expected, atol=1e-4)
        np.testing.assert_array_equal(labels, logits.argmax(-1))
        np.testing.assert_array_equal(predictor.predict(picture), labels)


def test_int8_of_any_size(trained, tmp_path):
    calibration = [
        ComparedImage("a", random_picture(33, 49, 0)),
        ComparedImage("b", random_picture(50, 60, 1)),
    ]
    write_litert(
        trained,
        tmp_path / "a.tflite",
        Options(image_size=None, quantize="int8"),
        calibration=calibration,
    )
    segmenter = open_segmenter(tmp_path / "a.tflite")
    for size in ((33, 49), (50, 33)):
        picture = random_picture(*size, 5)[None]
        expected = np.asarray(trained.model(picture))
        labels, logits = segmenter.run(picture)
        assert logits is not None and logits.shape == expected.shape
        # Rounding is as of a fixed size, which reaches 15 % on these random weights.
        assert np.linalg.norm(logits - expected) < 0.2 * np.linalg.norm(expected)
        assert np.mean(labels == logits.argmax(-1)) > 0.99
