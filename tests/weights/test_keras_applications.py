"""keras.applications' ResNet: every convolution has a bias, the stride lies in the first 1x1, and
the pixels are BGR less their mean."""

import keras
import numpy as np
import pytest
from support.random_model import random_picture

from deeplab_tf.config import Backbone, Normalization, StridePlacement
from deeplab_tf.config.resnet_plan import SPECS
from deeplab_tf.errors import DeeplabError
from deeplab_tf.weights.imported import build_network
from deeplab_tf.weights.keras_applications import keras_name, read_keras_applications
from deeplab_tf.weights.parity import measure

# Read off keras.applications' own summary.
NAMES = {
    "conv1/kernel": "conv1_conv/kernel",
    "conv1_bn/gamma": "conv1_bn/gamma",
    "block1_unit1_shortcut/kernel": "conv2_block1_0_conv/kernel",
    "block1_unit1_shortcut_bn/beta": "conv2_block1_0_bn/beta",
    "block3_unit5_conv2/kernel": "conv4_block5_2_conv/kernel",
    "block4_unit3_conv3_bn/moving_mean": "conv5_block3_3_bn/moving_mean",
}


def test_names():
    assert {ours: keras_name(ours) for ours in NAMES} == NAMES
    with pytest.raises(ValueError, match="have nothing for 'block5_unit/kernel'"):
        keras_name("block5_unit/kernel")
    assert SPECS[Backbone.RESNET101].units[2] == 23  # as conv4_block1 to conv4_block23


@pytest.fixture(scope="module")
def network():
    """ResNet50 with weights as of a training: biases, statistics, gammas of the size of one."""
    network = keras.applications.ResNet50(weights=None, include_top=False)
    rng = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            channels = layer.gamma.shape
            gamma, variance = rng.uniform(0.5, 1.5, (2, *channels))
            beta, mean = rng.normal(0, 0.3, (2, *channels))
            layer.set_weights([gamma * 0.5, beta, mean, variance])
        elif isinstance(layer, keras.layers.Conv2D):
            layer.bias.assign(rng.normal(0, 0.3, layer.bias.shape))
    return network


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_the_features_are_the_sources(network, suffix, tmp_path):
    path = tmp_path / f"resnet50{suffix}"
    (network.save if suffix == ".keras" else network.save_weights)(path)
    imported = read_keras_applications(path)
    model_config = imported.model_config
    assert (model_config.backbone, model_config.num_classes) == ("resnet50", None)
    assert model_config.output_stride == 32
    assert model_config.stride_placement is StridePlacement.FIRST_CONV
    assert model_config.normalization is Normalization.CAFFE
    model, report = build_network(imported, str(path))
    assert (len(report.loaded), report.unexpected) == (53 * 5, [])
    assert len(report.skipped) == 53 and "folded into the mean" in report.skipped[0]
    kernel = imported.tensors["conv4_block6_2_conv/kernel"]
    np.testing.assert_array_equal(kernel, network.get_layer("conv4_block6_2_conv").kernel)
    # An odd size, and an even one too, since keras.applications pads as we do.
    images = [random_picture(65, 97), random_picture(64, 64)]
    parity = measure(model, imported.reference(), images)
    assert parity.images == 2
    assert parity.relative_error is not None and parity.relative_error < 1e-5


def test_weights_of_a_part_are_refused(network, tmp_path):
    """None of the network may stay as it was drawn."""
    import h5py

    path = tmp_path / "part.weights.h5"
    network.save_weights(path)
    with h5py.File(path, "a") as file:
        layers = file["layers"]
        del layers[next(name for name in layers if "conv2d" in name)]
    with pytest.raises(DeeplabError, match=r"neither a Keras model nor weights of keras.app"):
        read_keras_applications(path)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(DeeplabError, match=r"absent.h5 does not exist"):
        read_keras_applications(tmp_path / "absent.h5")
    other = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, name="only")])
    other.save(tmp_path / "other.keras")
    with pytest.raises(DeeplabError, match="not keras.applications' ResNet50 or ResNet101"):
        read_keras_applications(tmp_path / "other.keras")
