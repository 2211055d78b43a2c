"""Compares our networks with torchvision's, TF-Slim's, keras.applications' and keras-hub's own.

`make parity` runs it: each source's own network gets seeded weights, batch norm statistics
included, is written to a file as the source writes it, and goes through `deeplab-import`'s reader
on the CPU. Prints a table and ends with exit code 1 where a comparison fails.
"""

import pathlib
import sys
import tempfile
from collections.abc import Callable

import numpy as np

# Before TensorFlow: torchvision brings triton, which crashes when it loads after it.
import torch
import torchvision
from support.seeded_weights import draw, draw_image, to_torch_layout
from support.slim_networks import slim_networks

from deeplab_tf.config import Backbone, ModelConfig
from deeplab_tf.errors import DeeplabError
from deeplab_tf.models import build_backbone, build_model
from deeplab_tf.models.auxiliary import only_auxiliary, with_auxiliary, without_auxiliary
from deeplab_tf.weights.convert import READERS
from deeplab_tf.weights.imported import build_network
from deeplab_tf.weights.parity import measure
from deeplab_tf.weights.slim import slim_name
from deeplab_tf.weights.torchvision import torch_key, torchvision_config

SIZES = ((33, 65), (225, 225), (257, 193), (375, 500), (513, 513))
ODD = tuple((h, w) for h, w in SIZES if h % 32 == w % 32 == 1)
"""TF-Slim pads even sizes on one side."""
WHOLE = ((32, 64), (224, 224), (512, 512))
"""keras-hub upsamples by whole factors."""
PUBLISHED = {"deeplabv3_mobilenet_v3_large": 11_029_328, "lraspp_mobilenet_v3_large": 3_221_538}
"""The numbers of weights that torchvision publishes."""
PRESET = 39_190_656
"""The number of weights that keras-hub publishes for its DeepLabV3Plus with a ResNet-50."""


def write_torchvision(name: str, path: pathlib.Path) -> None:
    """`deeplabv3_resnet50`, ..., or a classifier `resnet50`, ..., as a state dict."""
    segmenter = name.startswith("deeplabv3_")
    backbone = Backbone(name.removeprefix("deeplabv3_"))
    if segmenter:
        theirs = torchvision.models.get_model(
            name, weights=None, weights_backbone=None, aux_loss=True
        )
        model_config = torchvision_config(backbone)
    else:
        theirs = torchvision.models.get_model(name, weights=None)
        model_config = torchvision_config(backbone, num_classes=2)
    state = theirs.state_dict()
    ours = (build_model if segmenter else build_backbone)(model_config)
    for variable in (with_auxiliary(ours, model_config) if segmenter else ours).weights:
        key = torch_key(variable.path)
        key = key if segmenter else key.removeprefix("backbone.")
        value = np.ascontiguousarray(to_torch_layout(draw(variable.path, variable.shape)))
        state[key] = torch.from_numpy(value)
    torch.save(state, path)


def write_torchvision_mobilenet(name: str, path: pathlib.Path) -> None:
    """`deeplabv3_mobilenet_v3_large`, `lraspp_...` or the classifier, as a state dict.

    Kernels are as torchvision initialises them, and all else is as of a training.
    """
    torch.manual_seed(0)
    options = {"weights_backbone": None} if name in PUBLISHED else {}
    if name.startswith("deeplabv3_"):
        options["aux_loss"] = True
    theirs = torchvision.models.get_model(name, weights=None, **options)
    count = sum(parameter.numel() for parameter in theirs.parameters())
    assert count == PUBLISHED.get(name, count), count
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.3)
            torch.nn.init.normal_(module.running_mean, 0, 0.3)
        elif isinstance(module, torch.nn.Conv2d) and module.bias is not None:
            torch.nn.init.normal_(module.bias, 0, 0.3)
    torch.save(theirs.state_dict(), path)


def write_keras_hub(low_level: bool, units: list[int], path: pathlib.Path) -> None:
    """DeepLabV3Plus, or DeepLabV3 without the low-level map, with the converter of ImageNet."""
    import keras
    import keras_hub

    keras.utils.set_random_seed(0)
    models = keras_hub.models
    backbone = models.DeepLabV3Backbone(
        image_encoder=models.ResNetBackbone(
            input_conv_filters=[64],
            input_conv_kernel_sizes=[7],
            stackwise_num_filters=[64, 128, 256, 512],
            stackwise_num_blocks=units,
            stackwise_num_strides=[1, 2, 2, 2],
            block_type="bottleneck_block",
        ),
        spatial_pyramid_pooling_key="P5",
        low_level_feature_key="P2" if low_level else None,
        upsampling_size=8,
        dilation_rates=[6, 12, 18],
    )
    if low_level and units == [3, 4, 6, 3]:
        assert backbone.count_params() == PRESET
    converter = keras_hub.layers.DeepLabV3ImageConverter(
        scale=[1 / 255 / std for std in (0.229, 0.224, 0.225)],
        offset=[-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225],
    )
    network = models.DeepLabV3ImageSegmenter(
        backbone, 21, preprocessor=models.DeepLabV3ImageSegmenterPreprocessor(converter)
    )
    rng = np.random.default_rng(0)
    for weight in network.weights:
        if weight.name in ("gamma", "moving_variance"):
            # The last batch norm of a unit adds little, so that 101 layers do not explode.
            least, most = (0.05, 0.25) if "_3_bn/gamma" in weight.path else (0.5, 1.5)
            weight.assign(rng.uniform(least, most, weight.shape))
        elif weight.name in ("beta", "moving_mean"):
            weight.assign(rng.normal(0, 0.3, weight.shape))
    network.save(path)


def write_slim(model_config: ModelConfig, scope: str, path: pathlib.Path) -> None:
    """A TF1 checkpoint with the variables of TF-Slim's network."""
    import tensorflow as tf

    model = (build_backbone if model_config.num_classes is None else build_model)(model_config)
    tf1 = tf.compat.v1
    with tf1.Graph().as_default(), tf1.Session() as session:
        for variable in model.weights:
            value = draw(variable.path, variable.shape)
            tf1.Variable(value, name=slim_name(variable.path, scope))
        tf1.Variable(np.int64(30000), name="global_step")
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver().save(session, str(path), write_meta_graph=False)


def write_keras(build: Callable, path: pathlib.Path) -> None:
    """Weights of a network of keras.applications."""
    network = build(weights=None, include_top=False)
    for layer in network.layers:
        # The last batch norm of a unit adds little there too.
        name = layer.name.replace("_3_bn", "_conv3_bn")
        for weight in layer.weights:
            weight.assign(draw(f"{name}/{weight.name}", weight.shape))
    network.save_weights(path)


def cases(folder: pathlib.Path):
    """(source, name, file, sizes), each file written when it is its turn."""
    import keras  # brings TensorFlow

    for name in ("deeplabv3_resnet50", "deeplabv3_resnet101", "resnet50", "resnet101"):
        path = folder / f"{name}.pth"
        write_torchvision(name, path)
        yield "torchvision", name, path, SIZES
    for name in (*PUBLISHED, "mobilenet_v3_large"):
        path = folder / f"{name}.pth"
        write_torchvision_mobilenet(name, path)
        yield "torchvision", name, path, SIZES
    for name, low_level, units in (
        ("DeepLabV3 ResNet50", False, [3, 4, 6, 3]),
        ("DeepLabV3Plus ResNet50", True, [3, 4, 6, 3]),
        ("DeepLabV3Plus ResNet101", True, [3, 4, 23, 3]),
    ):
        path = folder / f"{name.replace(' ', '_')}.keras"
        write_keras_hub(low_level, units, path)
        yield "keras_hub", name, path, WHOLE
    for name in ("ResNet50", "ResNet101"):
        path = folder / f"{name}.weights.h5"
        write_keras(getattr(keras.applications, name), path)
        yield "keras_applications", name, path, SIZES
    for name, (scope, model_config) in slim_networks().items():
        path = folder / f"{name.replace(' ', '_')}.ckpt"
        write_slim(model_config, scope, path)
        yield "slim", name, path, ODD


def main() -> int:
    """The exit code."""
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}; seeded weights")
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for source, name, path, sizes in cases(pathlib.Path(folder)):
            imported = READERS[source](path)
            model, report = build_network(imported, name)
            assert not report.unexpected and not report.missing
            images = [draw_image(seed, *size)[0] for seed, size in enumerate(sizes)]
            outputs = {name: (without_auxiliary(model), imported.reference())}
            if imported.auxiliary_reference:
                theirs = imported.auxiliary_reference()
                outputs[f"{name}, aux"] = only_auxiliary(model), theirs
            for what, (ours, theirs) in outputs.items():
                parity = measure(ours, theirs, images)
                print(f"{source:<19}{what:<35}{parity.format()}", flush=True)
                try:
                    parity.check(what)
                except DeeplabError as error:
                    failed.append(str(error))
    for message in failed:
        print(message, file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
