"""Weights of keras.applications' ResNet50 and ResNet101, ImageNet classifiers, as a backbone.

The convolutions of these networks have biases, which move into the batch norms' means. The first
convolution takes BGR, so the input channels of its kernel are reversed for RGB.
"""

import pathlib
import re
import warnings

import keras
import numpy as np

from deeplab_tf.config import Backbone, ModelConfig, Normalization, StridePlacement
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.weights.imported import ImportedWeights, Reference

NETWORKS = {
    Backbone.RESNET50: keras.applications.ResNet50,
    Backbone.RESNET101: keras.applications.ResNet101,
}
LAST_MAP = "conv5_block3_out"
EPSILON = 1.001e-5


def read_keras_applications(path: pathlib.Path) -> ImportedWeights:
    """Reads weights of `keras.applications.ResNet50` or `ResNet101`, with or without their top.

    Raises:
        DeeplabError: the file does not exist, or is neither a model nor weights of these networks.
    """
    if not path.is_file():
        raise DeeplabError(f"weights file {path} does not exist")
    network, backbone = _load(path)
    skipped, tensors = [], {}
    for layer in network.layers:
        if layer.name == "predictions":
            skipped += [
                f"{layer.name}/{weight.name} (the classifier's)" for weight in layer.weights
            ]
        elif isinstance(layer, keras.layers.Conv2D):
            kernel = np.asarray(layer.kernel)
            if layer.name == "conv1_conv":
                kernel = kernel[:, :, ::-1]
            tensors[f"{layer.name}/kernel"] = kernel
            skipped.append(f"{layer.name}/bias (folded into the mean of {_norm_of(layer.name)})")
        elif isinstance(layer, keras.layers.BatchNormalization):
            bias = np.asarray(network.get_layer(_convolution_of(layer.name)).bias)
            for weight in layer.weights:
                value = np.asarray(weight)
                shift = bias if weight.name == "moving_mean" else 0
                tensors[f"{layer.name}/{weight.name}"] = value - shift
    model_config = ModelConfig(
        backbone=backbone,
        output_stride=32,
        multi_grid=(1, 1, 1),
        stride_placement=StridePlacement.FIRST_CONV,
        normalization=Normalization.CAFFE,
        batch_norm_momentum=0.99,
        batch_norm_epsilon=EPSILON,
    )
    size = network.input_shape[1:3]  # (None, None) where the network has no top
    frame = None if size[0] is None else size
    return ImportedWeights(
        model_config, tensors, keras_name, skipped, lambda: _run(network), frame=frame
    )


def keras_name(path: str) -> str:
    """Returns keras.applications' name of our variable `path`, e.g. `block3_unit5_conv2_bn/gamma`.

    Raises:
        ValueError: the ResNets of keras.applications have no such variable.
    """
    layer, _, part = path.partition("/")
    if layer in ("conv1", "conv1_bn"):
        return f"conv1_{'bn' if layer.endswith('_bn') else 'conv'}/{part}"
    match = re.fullmatch(r"block(\d)_unit(\d+)_(?:conv(\d)|shortcut)(_bn)?", layer)
    if match is None:
        raise ValueError(f"keras.applications' ResNets have nothing for {path!r}")
    block, unit, conv, norm = match.groups()
    kind = "bn" if norm else "conv"
    return f"conv{int(block) + 1}_block{unit}_{conv or 0}_{kind}/{part}"


def _norm_of(convolution: str) -> str:
    return re.sub("conv$", "bn", convolution)


def _convolution_of(norm: str) -> str:
    return re.sub("bn$", "conv", norm)


def _load(path: pathlib.Path) -> tuple[keras.Model, Backbone]:
    """Returns the network of a whole model, or the network that a file of only weights fits."""
    try:
        network = keras.saving.load_model(path, compile=False)
    except (ValueError, KeyError, OSError, TypeError) as whole_error:
        for backbone, build in NETWORKS.items():
            for include_top in (False, True):
                network = build(weights=None, include_top=include_top)  # pyright: ignore[reportArgumentType]
                try:
                    with warnings.catch_warnings():
                        # Keras warns of containers without weights; missing weights raise an error.
                        warnings.simplefilter("ignore", UserWarning)
                        network.load_weights(path)
                except (ValueError, KeyError, OSError, TypeError):
                    continue
                return network, backbone
        raise DeeplabError(
            f"{path} is neither a Keras model nor weights of keras.applications' ResNet50 or "
            f"ResNet101: {one_line(str(whole_error))[:200]}"
        ) from whole_error
    names = {layer.name for layer in network.layers}
    if isinstance(network, keras.Model) and {LAST_MAP, "conv4_block6_out", "conv1_conv"} <= names:
        deep = "conv4_block23_out" in names
        return network, Backbone.RESNET101 if deep else Backbone.RESNET50
    raise DeeplabError(
        f"{path} is a Keras model, but not keras.applications' ResNet50 or ResNet101: it has "
        f"layers {', '.join(sorted(names)[:3])}, ..."
    )


def _run(network: keras.Model) -> Reference:
    """Returns keras.applications' own network and preprocessing, up to the network's last map."""
    features = keras.Model(network.input, network.get_layer(LAST_MAP).output)

    def run(image: np.ndarray) -> tuple[None, np.ndarray]:
        pixels = keras.applications.resnet.preprocess_input(image.astype(np.float32))
        return None, np.asarray(features(pixels, training=False))

    return run
