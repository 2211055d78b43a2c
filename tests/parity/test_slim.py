"""TF-Slim's checkpoints: names, and outputs equal to those that golden files of tf-slim hold
(`make_slim_golden.py`); `make parity` compares with tf-slim itself."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf
from support.seeded_weights import digest, draw, draw_image, set_seeded_weights
from support.slim_networks import slim_networks

from deeplab_tf.config import Backbone, ModelConfig, Normalization
from deeplab_tf.errors import DeeplabError
from deeplab_tf.models import build_backbone, build_model
from deeplab_tf.weights.imported import build_network
from deeplab_tf.weights.slim import import_variables, read_slim, slim_name

GOLDEN = pathlib.Path(__file__).parent / "golden"
RESNET, MOBILE = "resnet_v1_101", "MobilenetV2"

# The names in the released checkpoints.
NAMES = {
    ("conv1_2/kernel", RESNET): "resnet_v1_101/conv1_2/weights",
    ("conv1_bn/gamma", RESNET): "resnet_v1_101/conv1/BatchNorm/gamma",
    ("block1_unit1_shortcut/kernel", RESNET): (
        "resnet_v1_101/block1/unit_1/bottleneck_v1/shortcut/weights"
    ),
    ("block3_unit23_conv2_bn/moving_mean", RESNET): (
        "resnet_v1_101/block3/unit_23/bottleneck_v1/conv2/BatchNorm/moving_mean"
    ),
    ("conv1/kernel", MOBILE): "MobilenetV2/Conv/weights",
    ("block1_unit1_depthwise/kernel", MOBILE): (
        "MobilenetV2/expanded_conv/depthwise/depthwise_weights"
    ),
    ("block7_unit1_project_bn/beta", MOBILE): (
        "MobilenetV2/expanded_conv_16/project/BatchNorm/beta"
    ),
    ("aspp_conv1/kernel", MOBILE): "aspp0/weights",
    ("aspp_atrous2_bn/beta", RESNET): "aspp2/BatchNorm/beta",
    ("aspp_pool_bn/gamma", RESNET): "image_pooling/BatchNorm/gamma",
    ("logits/bias", RESNET): "logits/semantic/biases",
}


def test_names():
    assert {(path, scope): slim_name(path, scope) for path, scope in NAMES} == NAMES


@pytest.mark.parametrize("name", ["resnet_v1_50", "resnet_v1_50_beta ASPP", "mobilenet_v2 0.5"])
def test_outputs_equal_tf_slims(name):
    golden = np.load(GOLDEN / f"slim_{name.replace(' ', '_')}.npz")
    _, model_config = slim_networks()[name]
    model = (build_backbone if model_config.num_classes is None else build_model)(model_config)
    assert digest(set_seeded_weights(model)) == str(golden["weights_sha256"])
    output = model(draw_image(0, 65, 97), training=False).numpy()[0]
    kept = output if model_config.num_classes is None else output[::3, ::3]
    theirs = golden["output"]
    assert theirs.std() > 0.1
    np.testing.assert_allclose(kept[..., ::3], theirs, atol=1e-5 * np.abs(theirs).max())


def test_a_checkpoint_with_its_optimiser_is_read(tmp_path):
    model_config = ModelConfig(
        backbone=Backbone.MOBILENET_V2,
        width_multiplier=0.25,
        multi_grid=(1, 1, 1),
        aspp_rates=(),
        num_classes=4,
        normalization=Normalization.SYMMETRIC,
    )
    arrays = {
        slim_name(v.path, MOBILE): draw(v.path, v.shape) for v in build_model(model_config).weights
    }
    others = {
        "global_step": np.int64(30_000),
        "MobilenetV2/Conv/weights/Momentum": np.zeros(3, np.float32),
        "MobilenetV2/Logits/Conv2d_1c_1x1/biases": np.zeros(7, np.float32),
    }
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, value in {**arrays, **others}.items():
            tf.compat.v1.Variable(value, name=name)
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, str(tmp_path / "model.ckpt-7"))
    imported = read_slim(tmp_path / "model.ckpt-7")
    assert imported.model_config == model_config
    model, report = build_network(imported, "file")
    assert {line.split(" (")[0] for line in report.skipped} == set(others)
    assert report.unexpected == []
    np.testing.assert_array_equal(
        model.get_layer("block3_unit2_depthwise").kernel,
        arrays["MobilenetV2/expanded_conv_4/depthwise/depthwise_weights"],
    )
    # DeepLab concatenates image pooling before the 1x1 branch.
    theirs = arrays["concat_projection/weights"]
    np.testing.assert_array_equal(
        model.get_layer("aspp_project").kernel[:, :, 256:], theirs[:, :, :256]
    )


def test_other_checkpoints_are_refused(tmp_path):
    with pytest.raises(DeeplabError, match="is not a TensorFlow checkpoint that can be read"):
        read_slim(tmp_path / "nowhere.ckpt")
    with pytest.raises(DeeplabError, match=r"file is of no network known here .* it has xception"):
        import_variables({"xception_65/entry/weights": np.zeros(3)}, "file")
