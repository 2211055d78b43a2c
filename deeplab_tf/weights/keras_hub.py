"""Weights of keras-hub's DeepLabV3 and DeepLabV3Plus with a ResNet-50 or ResNet-101.

The ResNet is not atrous: the ASPP reads the map of stride 32. What keras-hub calls
`segmentation_head_conv`, a 1x1 convolution on the map of stride 4, is a decoder of one convolution
here, which DeepLabV3 has without the low-level map. keras-hub applies the last 1x1 convolution,
without bias, to the upsampled map; it commutes with the upsampling.

keras-hub's batch norms have an epsilon of 1e-5 in the ResNet and of 1e-3 behind it. The difference
is added to the moving variances.
"""

import pathlib
import re
from typing import Any

import keras
import numpy as np

from deeplab_tf.config import Backbone, ModelConfig, Normalization, StridePlacement, Upsampling
from deeplab_tf.config.resnet_plan import SPECS
from deeplab_tf.config.schema import NORMALIZATION
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.weights.imported import ImportedWeights, Reference

STRIDE = 32
"""The stride of the map that the ASPP reads."""
FRAME = (512, 512)
"""keras-hub upsamples by whole factors, so that sides must be multiples of `STRIDE`."""

_LAYERS = {
    "conv1": "conv1_conv",
    "conv1_bn": "conv1_bn",
    "aspp_conv1": "aspp_conv_1",
    "aspp_conv1_bn": "aspp_bn_1",
    "aspp_pool": "conv_pooling",
    "aspp_pool_bn": "bn_pooling",
    "aspp_project": "conv_projection",
    "aspp_project_bn": "bn_projection",
    "decoder_project": "decoder_conv",
    "decoder_project_bn": "decoder_norm",
    "decoder_conv1": "segmentation_head_conv",
    "decoder_conv1_bn": "segmentation_head_norm",
    "logits": "segmentation_output",
}


def read_keras_hub(path: pathlib.Path) -> ImportedWeights:
    """Reads a `keras_hub.models.DeepLabV3ImageSegmenter`: a `.keras` file or a preset's folder.

    Raises:
        DeeplabError: keras-hub is not installed, or the file does not exist or is no such network.
    """
    if not path.exists():
        raise DeeplabError(f"weights file {path} does not exist")
    try:
        import keras_hub  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise DeeplabError(f"to read {path}: pip install keras-hub") from error
    segmenter = keras_hub.models.DeepLabV3ImageSegmenter
    try:
        if path.is_dir():
            network = segmenter.from_preset(str(path))
        else:
            network = keras.saving.load_model(path, compile=False)
    except (ValueError, KeyError, OSError, TypeError) as error:
        raise DeeplabError(
            f"{path} is not a network of keras-hub: {one_line(str(error))[:200]}"
        ) from error
    if not isinstance(network, segmenter):
        raise DeeplabError(
            f"{path} must hold a keras_hub.models.DeepLabV3ImageSegmenter. "
            f"Received: {type(network).__name__}"
        )
    return import_segmenter(network, str(path))


def import_segmenter(network: Any, what: str) -> ImportedWeights:
    """Returns a `DeepLabV3ImageSegmenter` as weights for our network.

    Raises:
        DeeplabError: the network has a form that ours has not; the message names `what`.
    """
    model_config = _model_config(network, what)
    tensors = {}
    for layer in _convolutions_and_norms(network):
        for weight in layer.weights:
            value = np.asarray(weight)
            if weight.name == "moving_variance":
                value = value + (layer.epsilon - model_config.batch_norm_epsilon)
            tensors[f"{layer.name}/{weight.name}"] = value
    tensors.setdefault("segmentation_output/bias", np.zeros(network.num_classes, np.float32))
    return ImportedWeights(
        model_config,
        tensors,
        keras_hub_name,
        skipped=[],
        reference=lambda: _run(network, model_config.normalization),
        frame=FRAME,
    )


def keras_hub_name(path: str) -> str:
    """Returns keras-hub's name of our variable `path`, e.g. `block3_unit5_conv2_bn/gamma`.

    Raises:
        DeeplabError: keras-hub's networks have no such variable.
    """
    layer, _, part = path.partition("/")
    if layer in _LAYERS:
        return f"{_LAYERS[layer]}/{part}"
    if match := re.fullmatch(r"aspp_atrous(\d+)(_bn)?", layer):
        # The 1x1 convolution is the first.
        return f"aspp_{'bn' if match[2] else 'conv'}_{int(match[1]) + 1}/{part}"
    match = re.fullmatch(r"block(\d)_unit(\d+)_(?:conv(\d)|shortcut)(_bn)?", layer)
    if match is None:
        raise DeeplabError(f"keras-hub's networks have no tensor for the variable {path!r}")
    block, unit, conv, norm = match.groups()
    kind = "bn" if norm else "conv"
    return f"stack{int(block) - 1}_block{int(unit) - 1}_{conv or 0}_{kind}/{part}"


def _model_config(network: Any, what: str) -> ModelConfig:
    hub = network.backbone
    low = hub.low_level_feature_key
    return ModelConfig(
        backbone=_backbone(hub, what),
        output_stride=STRIDE,
        multi_grid=(1, 1, 1),
        # Ours are given for output_stride 16.
        aspp_rates=tuple(int(rate) * STRIDE // 16 for rate in hub.dilation_rates),
        decoder_kernels=(1,),
        decoder_channels=0 if low is None else int(hub.projection_filters),
        num_classes=int(network.num_classes),
        stride_placement=StridePlacement.FIRST_UNIT,
        normalization=_normalization(network.preprocessor, what),
        upsampling=Upsampling.HALF_PIXEL,
        batch_norm_momentum=0.9,
        batch_norm_epsilon=1e-5,
    )


def _backbone(hub: Any, what: str) -> Backbone:
    """Returns the ResNet behind keras-hub's network.

    Raises:
        DeeplabError: it is another network, or its maps are read at other strides than ours.
    """
    encoder = hub.image_encoder
    form = [
        getattr(encoder, name, None)
        for name in ("block_type", "use_pre_activation", "stackwise_num_strides")
    ]
    size = [getattr(encoder, n, ()) for n in ("stackwise_num_blocks", "input_conv_filters")]
    fits = [
        backbone
        for backbone, spec in SPECS.items()
        if [tuple(each) for each in size] == [spec.units, (spec.width,)]
    ]
    if form != ["bottleneck_block", False, [1, 2, 2, 2]] or not fits:
        raise DeeplabError(
            f"{what} must have the ResNetBackbone of a ResNet-50 or ResNet-101: bottleneck_block, "
            f"no pre-activation, strides 1, 2, 2, 2. Received: {type(encoder).__name__} of {form}"
        )
    reads = {
        "spatial_pyramid_pooling_key": (hub.spatial_pyramid_pooling_key, "P5"),
        "low_level_feature_key": (hub.low_level_feature_key or "P2", "P2"),
        "upsampling_size": (hub.upsampling_size, 8),
    }
    for name, (received, needed) in reads.items():
        if received not in (needed, (needed, needed), [needed, needed]):
            raise DeeplabError(f"{what}: {name} must be {needed}. Received: {received}")
    return fits[0]


def _normalization(preprocessor: Any, what: str) -> Normalization:
    """Returns the convention that the image converter of a network's preprocessor has.

    Raises:
        DeeplabError: it is none of ours.
    """
    converter = getattr(preprocessor, "image_converter", None)
    scale, offset = (getattr(converter, name, None) for name in ("scale", "offset"))
    scale = np.broadcast_to(1.0 if scale is None else scale, 3)
    offset = np.broadcast_to(0.0 if offset is None else offset, 3)
    for normalization, image_format in NORMALIZATION.items():
        mean, std = np.array(image_format.mean), np.array(image_format.std)
        if np.allclose(scale * std, 1, atol=1e-4) and np.allclose(offset, -mean / std, atol=1e-3):
            return normalization
    raise DeeplabError(
        f"{what}: the image converter must have a scale and an offset of "
        f"config.model.normalization ({', '.join(NORMALIZATION)}). Received: scale "
        f"{scale.tolist()}, offset {offset.tolist()}"
    )


def _convolutions_and_norms(network: Any) -> list[keras.Layer]:
    """Lists the layers with weights; the ASPP is one layer of the model, and holds others."""
    hub = network.backbone
    (pyramid,) = (layer for layer in hub.layers if hasattr(layer, "aspp_parallel_channels"))
    blocks = [hub.image_encoder, *pyramid.aspp_parallel_channels, pyramid.projection, hub, network]
    kinds = (keras.layers.Conv2D, keras.layers.BatchNormalization)
    return [layer for block in blocks for layer in block.layers if isinstance(layer, kinds)]


def _run(network: Any, normalization: Normalization) -> Reference:
    """Returns keras-hub's own network behind the scale and offset of its image converter."""
    image_format = NORMALIZATION[normalization]
    mean, std = np.array(image_format.mean), np.array(image_format.std)

    def run(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits = np.asarray(network(((image - mean) / std).astype(np.float32), training=False))
        return logits.argmax(axis=-1), logits

    return run
