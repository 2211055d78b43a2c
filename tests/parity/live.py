"""Compares our networks with torchvision's, TF-Slim's and keras.applications' own on the CPU.

`make parity` runs it: each source's own network gets seeded weights, batch norm statistics
included, is written to a file as the source writes it, and goes through `deeplab-import`'s reader.
Prints a table and ends with exit code 1 where a comparison fails.
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
                print(f"{source:<19}{what:<26}{parity.format()}", flush=True)
                try:
                    parity.check(what)
                except DeeplabError as error:
                    failed.append(str(error))
    for message in failed:
        print(message, file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
