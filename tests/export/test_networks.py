"""DeepLabv3+ and a narrow MobileNetV3 with LR-ASPP through a training, evaluation and exports.

Random weights would do for floats. Integers need a network that was trained: the labels of a random
one change with the rounding.
"""

import dataclasses
import pathlib
from typing import NamedTuple

import numpy as np
import pytest
from support.random_model import random_picture
from support.train_processes import metrics, small

from deeplab_tf.artefacts.litert import open_segmenter
from deeplab_tf.artefacts.trained_model import TrainedModel, load_model
from deeplab_tf.config import Backbone, Head, validate
from deeplab_tf.data.records import open_records
from deeplab_tf.evaluation.evaluate import evaluate
from deeplab_tf.evaluation.evaluate_split import evaluate_split
from deeplab_tf.export.convolutions import ConvolutionFile
from deeplab_tf.export.export_model import export_model
from deeplab_tf.export.images import ComparedImage
from deeplab_tf.export.litert import Options, convert
from deeplab_tf.export.operations import litert_operations
from deeplab_tf.export.web_page import page_facts
from deeplab_tf.inference.predictor import trained_predictor
from deeplab_tf.inference.strategies import resolve_evaluate_config
from deeplab_tf.training.stages import train

STEPS = 40
NETWORKS = {
    "decoder": {"head": Head.ASPP, "decoder_kernels": (3, 3), "separable": True},
    "mobilenet_v3": {
        "backbone": Backbone.MOBILENET_V3_LARGE,
        "multi_grid": (1, 1, 1),
        "width_multiplier": 0.25,
        "head": Head.LR_ASPP,
    },
}


class Network(NamedTuple):
    """A network that was trained on 12 images: its name, the folder, and the model in it."""

    name: str
    workdir: pathlib.Path
    trained: TrainedModel


@pytest.fixture(scope="module", params=NETWORKS)
def network(request, shapes_data, tmp_path_factory):
    experiment = small(
        steps=STEPS, batch_size=8, log_every=5, checkpoint_every=STEPS, base_learning_rate=0.05
    )
    experiment.data.crop_size = 65
    experiment.model = dataclasses.replace(
        experiment.model, output_stride=16, batch_norm_momentum=0.8, **NETWORKS[request.param]
    )
    workdir = tmp_path_factory.mktemp("run") / request.param
    train(validate(experiment), shapes_data, workdir, report=lambda line: None)
    return Network(request.param, workdir, load_model(workdir))


def test_the_loss_falls_and_other_output_strides_have_the_weights(network, shapes_data, tmp_path):
    losses = [row["cross_entropy"] for row in metrics(network.workdir)]
    assert losses[-1] < 0.85 * losses[0]
    whole = evaluate(network.workdir, shapes_data, tmp_path / "16", report=lambda line: None)
    config = resolve_evaluate_config(network.trained.experiment, output_stride=8)
    predictor = trained_predictor(network.trained, config)
    denser = evaluate_split(predictor, open_records(shapes_data, "shapes"), "val")
    accuracy = [evaluation.scores.pixel_accuracy for evaluation in (whole, denser)]
    # A denser map, not other weights.
    assert accuracy[0] != accuracy[1] and abs(accuracy[0] - accuracy[1]) < 0.1


def test_saved_model_and_onnx(network, shapes_data, tmp_path):
    # ONNX is refused where an atrous layer is not one Conv, and compared in two runtimes.
    for format in ("saved_model", "onnx"):
        exported = export_model(network.trained, tmp_path / format, format, data_dir=shapes_data)
        assert exported.parity.images == 4 and exported.parity.label_agreement > 0.9999
        assert exported.parity.largest_logit_difference < 2e-3


def check_hard_swish(name, operations):
    if name == "mobilenet_v3":
        # The root, the two in each unit of block4 to block6, and the last.
        assert operations["HARD_SWISH"] == 1 + 2 * 9 + 1
        assert operations["MEAN"] == 8 + 1


def test_litert(network, shapes_data, tmp_path):
    exported = export_model(network.trained, tmp_path / "litert", "litert", data_dir=shapes_data)
    assert exported.parity.label_agreement > 0.9999
    page_facts(exported.artefact)  # which refuses what LiteRT.js does not run
    check_hard_swish(network.name, litert_operations(exported.artefact.read_bytes()))


def test_litert_in_integers(network, tmp_path):
    """Labels of a network of 40 steps are too close to call, so its scores are compared."""
    images = [random_picture(65, 65, seed) for seed in range(4)]
    options = Options(image_size=(65, 65), quantize="int8", outputs="logits")
    calibration = [ComparedImage("", image) for image in images]
    content, float_file = convert(network.trained, options, calibration)
    (tmp_path / "a.tflite").write_bytes(content)
    segmenter = open_segmenter(tmp_path / "a.tflite")
    expected = np.asarray(network.trained.model(np.stack(images)))
    found = np.concatenate([segmenter.run(image[None])[1] for image in images])
    decibels = 10 * np.log10(np.var(expected) / np.mean((found - expected) ** 2))
    assert decibels > 12  # 27 and 19 were seen; a dead or clipped tensor leaves less than 3
    # Each convolution in integers is found in the float file, so that its weights were fitted.
    integers, floats = (ConvolutionFile(each) for each in (content, float_file))
    names = [convolution.output for convolution in floats.convolutions]
    assert [c.output for c in integers.convolutions if integers.is_integer(c)] == names
    operations = litert_operations(content)
    assert not {"DEQUANTIZE", "CAST"} & operations.keys()
    check_hard_swish(network.name, operations)
