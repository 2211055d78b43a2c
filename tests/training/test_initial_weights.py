"""Initial weights: what is loaded, skipped, missing, unexpected, and what is refused."""

import dataclasses
import functools
import shutil
import zipfile

import keras
import numpy as np
import pytest

from deeplab_tf.artefacts.trained_model import TrainedModel, save_model
from deeplab_tf.config import Backbone, Experiment, ModelConfig
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import SHAPES
from deeplab_tf.models import build_model
from deeplab_tf.models.deeplab import build_backbone
from deeplab_tf.training.initial_weights import load_initial_weights

MODEL_CONFIG = ModelConfig(backbone=Backbone.RESNET_SLIM, num_classes=6)
MOBILE = ModelConfig(
    backbone=Backbone.MOBILENET_V2, width_multiplier=0.25, multi_grid=(1, 1, 1), num_classes=6
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A network and its file, neither of which is changed."""
    model = build_model(MODEL_CONFIG)
    path = tmp_path_factory.mktemp("saved") / "first.keras"
    model.save(path)
    return model, str(path)


@functools.cache
def refusing():
    """A network for tests in which nothing is loaded."""
    return build_model(MODEL_CONFIG)


def test_another_number_of_classes_skips_the_last_layer_and_says_so(saved):
    source, path = saved
    model = build_model(dataclasses.replace(MODEL_CONFIG, num_classes=4))
    report = load_initial_weights(model, path, MODEL_CONFIG)
    assert report.skipped == [
        "logits/kernel (1, 1, 64, 6) -> (1, 1, 64, 4)",
        "logits/bias (6,) -> (4,)",
    ]
    assert len(report.loaded) == len(model.weights) - 2
    assert report.missing == report.unexpected == []
    for layer in ("conv1", "block4_unit3_conv2", "aspp_project"):
        np.testing.assert_array_equal(model.get_layer(layer).kernel, source.get_layer(layer).kernel)
    assert "skipped       2  logits/kernel (1, 1, 64, 6) -> (1, 1, 64, 4)" in report.table()


def test_a_model_with_more_layers_lists_the_missing(saved):
    _, path = saved
    model = build_model(dataclasses.replace(MODEL_CONFIG, head_conv=True))
    report = load_initial_weights(model, path, MODEL_CONFIG)
    assert report.missing[0] == "head_conv/kernel" and len(report.missing) == 5


def test_nothing_that_fits_is_an_error(tmp_path):
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(tmp_path / "other.keras")
    with pytest.raises(DeeplabError, match="0 of the 130 of resnet_slim .*not written by"):
        load_initial_weights(refusing(), str(tmp_path / "other.keras"), MODEL_CONFIG)


def described(tmp_path, **fields):
    """The path of a `.keras` file of a MobileNetV2 that says what it is."""
    model_config = dataclasses.replace(MOBILE, **fields)
    trained = TrainedModel(build_model(model_config), Experiment(model=model_config), SHAPES)
    save_model(trained, tmp_path / "mobile.keras")
    return str(tmp_path / "mobile.keras")


def test_another_backbone_is_named_though_its_last_bias_fits(tmp_path):
    path = described(tmp_path)
    said = "0 of the 130 of resnet_slim .*the file has backbone mobilenet_v2 .here resnet_slim"
    with pytest.raises(DeeplabError, match=said):
        load_initial_weights(refusing(), path, MODEL_CONFIG)


def test_another_width_is_named_and_refused(tmp_path):
    path = described(tmp_path, width_multiplier=0.25)
    ours = dataclasses.replace(MOBILE, width_multiplier=0.35)
    with pytest.raises(DeeplabError, match="file has width_multiplier 0.25 .here 0.35.; --config"):
        load_initial_weights(build_model(ours), path, ours)


def test_rates_that_begin_elsewhere_are_refused(tmp_path):
    """torchvision's MobileNetV3 has them: the weights fit, and the network computes another map."""
    path = described(tmp_path, early_rates=True)
    model = build_model(MOBILE)
    said = "another early_rates, .*; give --config.model.early_rates=True, or --config.model.like"
    with pytest.raises(DeeplabError, match=said):
        load_initial_weights(model, path, MOBILE)
    for fields in ({"early_rates": True}, {"output_stride": 32}, {"atrous": False}):
        ours = dataclasses.replace(MOBILE, **fields)
        assert not load_initial_weights(model, path, ours).skipped
    strided = described(tmp_path, early_rates=True, output_stride=32)
    assert not load_initial_weights(model, strided, MOBILE).skipped


def test_a_classifiers_backbone_has_no_rates_yet(tmp_path):
    theirs = dataclasses.replace(MOBILE, early_rates=True)
    trained = TrainedModel(build_backbone(theirs), Experiment(model=theirs), SHAPES)
    save_model(trained, tmp_path / "backbone.keras")
    report = load_initial_weights(build_model(MOBILE), str(tmp_path / "backbone.keras"), MOBILE)
    assert report.loaded and not report.skipped


def test_a_cascade_begins_with_a_plain_resnet(saved):
    source, path = saved
    cascade = dataclasses.replace(MODEL_CONFIG, num_blocks=5)
    model = build_model(cascade)
    report = load_initial_weights(model, path, cascade)
    assert report.missing[0].startswith("block5_unit1") and len(report.skipped) == 0
    np.testing.assert_array_equal(model.get_layer("conv1").kernel, source.get_layer("conv1").kernel)


def test_a_missing_or_broken_file_is_named(tmp_path):
    model = refusing()
    with pytest.raises(DeeplabError, match=r"nowhere.keras does not exist"):
        load_initial_weights(model, str(tmp_path / "nowhere.keras"), MODEL_CONFIG)
    (tmp_path / "broken.keras").write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(DeeplabError, match="broken.keras is not a whole .keras file"):
        load_initial_weights(model, str(tmp_path / "broken.keras"), MODEL_CONFIG)
    with zipfile.ZipFile(tmp_path / "torch.keras", "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    with pytest.raises(DeeplabError, match="torch.keras is not a .keras file that loads"):
        load_initial_weights(model, str(tmp_path / "torch.keras"), MODEL_CONFIG)


def test_a_flipped_byte_of_a_file_is_found(saved, tmp_path):
    path = shutil.copy(saved[1], tmp_path)
    with zipfile.ZipFile(path) as archive:
        weights = archive.getinfo("model.weights.h5")
    with open(path, "r+b") as file:
        file.seek(weights.header_offset + weights.file_size // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(DeeplabError, match=r"first.keras .*model.weights.h5"):
        load_initial_weights(refusing(), path, MODEL_CONFIG)
