"""Every export of DeepLabv3+ and of a narrow MobileNetV3 with LR-ASPP, within the parity gates."""

import pytest
from support.random_model import random_picture, random_trained_model

from deeplab_tf.config import Backbone, Head
from deeplab_tf.export.images import ComparedImage
from deeplab_tf.export.litert import Options, export_litert
from deeplab_tf.export.onnx_model import export_onnx
from deeplab_tf.export.operations import litert_operations
from deeplab_tf.export.parity import THRESHOLDS
from deeplab_tf.export.saved_model import export_saved_model
from deeplab_tf.export.web_page import page_facts

SIZE = (65, 81)
NETWORKS = {
    "decoder": {
        "backbone": Backbone.RESNET_TINY,
        "multi_grid": (1,),
        "decoder_kernels": (3, 3),
        "separable": True,
    },
    "mobilenet_v3": {
        "backbone": Backbone.MOBILENET_V3_LARGE,
        "multi_grid": (1, 1, 1),
        "width_multiplier": 0.25,
        "head": Head.LR_ASPP,
    },
}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    return request.param, random_trained_model(**NETWORKS[request.param])


@pytest.fixture(scope="module")
def pictures():
    """At one size on the grid and one off it."""
    return [ComparedImage(str(n), random_picture(*s, n)) for n, s in enumerate([SIZE, (50, 71)])]


def test_saved_model_and_onnx(network, pictures, tmp_path):
    name, trained = network
    exported = export_saved_model(trained, tmp_path / "saved_model", pictures)
    assert exported.parity.label_agreement > 0.9999
    assert exported.parity.largest_logit_difference < 1e-4
    # Refused where an atrous layer is not one Conv, in either runtime.
    exported = export_onnx(trained, tmp_path / "model.onnx", pictures)
    assert exported.parity.largest_logit_difference < 1e-3
    assert exported.parity.label_agreement >= THRESHOLDS["none"], name


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_litert(network, pictures, quantize, tmp_path):
    name, trained = network
    calibration = [ComparedImage(str(n), random_picture(*SIZE, 10 + n)) for n in range(4)]
    exported = export_litert(
        *(trained, tmp_path / "a.tflite", pictures, Options(image_size=SIZE, quantize=quantize)),
        calibration=[*calibration, *pictures] if quantize == "int8" else (),
    )
    assert exported.parity.label_agreement >= THRESHOLDS[quantize]
    operations = litert_operations(exported.artefact.read_bytes())
    if quantize == "none":
        page_facts(exported.artefact)  # which refuses what LiteRT.js does not run
    if name == "mobilenet_v3":
        # The root, the two in each unit of block4 to block6, and the last.
        assert operations["HARD_SWISH"] == 1 + 2 * 9 + 1
        assert operations["MEAN"] == 8 + 1
    if quantize == "int8":
        assert not {"DEQUANTIZE", "CAST"} & operations.keys()
