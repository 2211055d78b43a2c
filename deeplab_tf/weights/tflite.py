"""Weights from LiteRT (TensorFlow Lite) files of MobileNetV2: DeepLabv3 or an ImageNet classifier.

The files may be float or quantised. The converter cuts the names in a file and gives one name to
several tensors, so the layers are found by the order in which they run and by which layer feeds
which. The files have the batch norms folded into the convolutions, so our batch norms begin as the
identity, with the convolution's bias as their beta.
"""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from deeplab_tf.artefacts.litert import (
    CONVOLUTIONS,
    as_input,
    dequantized,
    open_interpreter,
    open_segmenter,
)
from deeplab_tf.config import Backbone, Head, ModelConfig, Normalization
from deeplab_tf.errors import DeeplabError
from deeplab_tf.models.mobilenet_v2 import BLOCKS, EPSILON, width_of
from deeplab_tf.weights.imported import ImportedWeights, Reference

LONGEST_SIDE = 513
"""The longest side to which DeepLab's releases shrink photos, in pixels: the training's crop, which
holds VOC's images of 500 pixels. A file of 257x257 has the weights of the same training."""


@dataclasses.dataclass(frozen=True)
class _Operation:
    """One operation of the file: the name of its builtin, and the numbers of its tensors."""

    kind: str
    inputs: tuple[int, ...]
    output: int


class _Graph:
    """The operations of a file in the order in which they run, and its tensors."""

    def __init__(self, path: pathlib.Path):
        self._interpreter: Any = open_interpreter(path, delegates=False)
        self._tensors = {t["index"]: t for t in self._interpreter.get_tensor_details()}
        self.operations = [
            _Operation(o["op_name"], tuple(int(i) for i in o["inputs"]), int(o["outputs"][0]))
            for o in self._interpreter._get_ops_details()
        ]

    def shape(self, tensor: int) -> tuple[int, ...]:
        return tuple(int(n) for n in self._tensors[tensor]["shape"])

    def name(self, tensor: int) -> str:
        return self._tensors[tensor]["name"]

    def constant(self, tensor: int) -> np.ndarray:
        """Returns the real numbers of a constant tensor, float32.

        A file with float16 weights has an operation that gives their float32 numbers, so the stored
        tensor before that operation is read.
        """
        stored = self.origin(tensor)
        return dequantized(self._interpreter.get_tensor(stored), self._tensors[stored])

    def is_quantized(self, operation: _Operation) -> bool:
        """Returns whether the kernel of `operation` is stored as integers."""
        return np.issubdtype(self._tensors[self.origin(operation.inputs[1])]["dtype"], np.integer)

    @property
    def image_size(self) -> tuple[int, int]:
        """The (height, width) of the file's input, in pixels."""
        _, height, width, _ = self._interpreter.get_input_details()[0]["shape"]
        return int(height), int(width)

    def users(self, tensor: int) -> list[_Operation]:
        """Returns the operations that read `tensor`, directly or behind operations that only change
        its quantisation or its size."""
        found = []
        for operation in self.operations:
            if operation.inputs[0] == tensor or (
                operation.kind == "CONCATENATION" and tensor in operation.inputs
            ):
                through = operation.kind in ("QUANTIZE", "DEQUANTIZE", "RESIZE_BILINEAR")
                found += self.users(operation.output) if through else [operation]
        return found

    def origin(self, tensor: int) -> int:
        """Returns the tensor from which `tensor` differs only in quantisation and size."""
        for operation in self.operations:
            through = operation.kind in ("QUANTIZE", "DEQUANTIZE", "RESIZE_BILINEAR")
            if operation.output == tensor and through:
                return self.origin(operation.inputs[0])
        return tensor


def read_tflite(path: pathlib.Path) -> ImportedWeights:
    """Reads a segmentation model (light head) or, from a classifier's file, the backbone.

    Raises:
        DeeplabError: the file is damaged, is not of a MobileNetV2, or takes images of a size at
            which its padding differs from ours.
    """
    graph = _Graph(path)
    convolutions = [o for o in graph.operations if o.kind in CONVOLUTIONS]
    backbone = convolutions[: len(_backbone_layers())]
    width, divisor = _width(graph, backbone, path)
    values: dict[str, np.ndarray] = {}
    for layer, operation in zip(_backbone_layers(), backbone, strict=True):
        _take(graph, operation, layer, EPSILON, values)
    model_config = ModelConfig(
        backbone=Backbone.MOBILENET_V2,
        width_multiplier=width,
        channel_divisor=divisor,
        multi_grid=(1, 1, 1),
        head=Head.ASPP,
        aspp_rates=(),
        normalization=Normalization.SYMMETRIC,
    )
    features = backbone[-1].output
    height, width = graph.image_size
    imported = ImportedWeights(
        model_config,
        values,
        name_of=lambda path: path,  # the file's names are not unique
        skipped=[],
        reference=lambda: open_segmenter(path).run,
        exact=not graph.is_quantized(backbone[0]),
        without_statistics=True,
        frame=(height, width),
        pad_to=height if height == width else None,
        longest_side=LONGEST_SIDE,
    )
    if not any(o.kind == "CONCATENATION" for o in graph.operations):
        rest = [graph.name(o.inputs[1]) for o in convolutions[len(backbone) :]]
        return dataclasses.replace(
            imported,
            model_config=dataclasses.replace(model_config, output_stride=32),
            skipped=[f"{name} (the classifier's)" for name in rest],
            reference=lambda: _features(path, features),
            # SAME pads an even size on one side only, which moves the grid that the network
            # samples, so an odd size is compared.
            frame=(height + 1 - height % 2, width + 1 - width % 2),
            pad_to=None,
        )
    stride = _output_stride(graph, features, path)
    head = _light_head(graph, features, path)
    for layer, operation in head.items():
        _take(graph, operation, layer, model_config.batch_norm_epsilon, values)
    _order_branches(graph, head, values)
    known = {id(o) for o in (*backbone, *head.values())}
    for operation in convolutions:
        if id(operation) not in known:
            kernel = operation.inputs[1]
            values[graph.name(kernel)] = graph.constant(kernel)
    return dataclasses.replace(
        imported,
        model_config=dataclasses.replace(
            model_config, output_stride=stride, num_classes=values["logits/bias"].size
        ),
    )


def _output_stride(graph: _Graph, features: int, path: pathlib.Path) -> int:
    """Returns the network's output_stride, by the sizes of its input and of its map `features`."""
    height, width = graph.image_size
    rows, columns = graph.shape(features)[1:3]
    for stride in (8, 16, 32):
        if (height, width) == (stride * (rows - 1) + 1, stride * (columns - 1) + 1):
            return stride
    raise DeeplabError(
        f"LiteRT file {path} takes images of {height}x{width}, and its features are "
        f"{rows}x{columns}; sides of k * output_stride + 1 can be imported (257, 513), since at "
        "other sizes the padding moves the grid by which the network samples"
    )


def _features(path: pathlib.Path, tensor: int) -> Reference:
    """Returns a function that runs the file itself up to `tensor`, at the size of the image."""
    interpreter = open_interpreter(path, delegates=False, keep_tensors=True)
    entry, dtype = (interpreter.get_input_details()[0][key] for key in ("index", "dtype"))

    def run(image: np.ndarray) -> tuple[None, np.ndarray]:
        interpreter.resize_tensor_input(entry, image.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(entry, as_input(image, dtype))
        interpreter.invoke()
        details = {t["index"]: t for t in interpreter.get_tensor_details()}
        return None, dequantized(interpreter.get_tensor(tensor), details[tensor])

    return run


def _backbone_layers() -> list[str]:
    """Returns our names of a MobileNetV2's convolutions, in the order in which they run."""
    layers = ["conv1"]
    for number, block in enumerate(BLOCKS, start=1):
        parts = ("expand", "depthwise", "project")[0 if block.expansion > 1 else 1 :]
        layers += [
            f"block{number}_unit{unit}_{part}"
            for unit in range(1, block.units + 1)
            for part in parts
        ]
    return layers


def _width(graph: _Graph, backbone: list[_Operation], path: pathlib.Path) -> tuple[float, int]:
    """Returns the width multiplier and channel divisor that fit the channels of all blocks."""
    layers = _backbone_layers()
    kinds = ["DEPTHWISE_CONV_2D" if "_depthwise" in layer else "CONV_2D" for layer in layers]
    channels = [graph.shape(o.output)[-1] for o in backbone]
    if [o.kind for o in backbone] == kinds:
        ends = {layer[:6]: out for layer, out in zip(layers, channels, strict=True)}
        width = width_of([ends[f"block{number}"] for number in range(1, 8)])
        if width is not None:
            return width
    raise DeeplabError(
        f"LiteRT file {path} is not of a MobileNetV2: its first {len(layers)} convolutions must be "
        f"that network's; it has {len(backbone)}, with {channels[:4]}, ... channels"
    )


def _light_head(graph: _Graph, features: int, path: pathlib.Path) -> dict[str, _Operation]:
    """Returns the convolutions of the light head by our names.

    One branch reads the features directly and one reads them pooled; the projection and the logits
    follow.
    """
    head: dict[str, _Operation] = {}
    for operation in graph.users(features):
        if operation.kind == "CONV_2D":
            head["aspp_conv1"] = operation
        elif operation.kind in ("AVERAGE_POOL_2D", "MEAN"):
            (head["aspp_pool"],) = graph.users(operation.output)
    if len(head) == 2:
        (concat,) = graph.users(head["aspp_conv1"].output)
        (head["aspp_project"],) = graph.users(concat.output)
        (head["logits"],) = graph.users(head["aspp_project"].output)
    if len(head) != 4 or any(o.kind != "CONV_2D" for o in head.values()):
        raise DeeplabError(
            f"LiteRT file {path} has no light head (1x1 branch and image pooling) behind its "
            f"MobileNetV2; found {', '.join(head) or 'nothing of it'}"
        )
    return head


def _take(
    graph: _Graph,
    operation: _Operation,
    layer: str,
    epsilon: float,
    values: dict[str, np.ndarray],
) -> None:
    """Puts the kernel and bias of a convolution into `values` under our name `layer`.

    The bias becomes the beta of a batch norm that is otherwise the identity. `logits` has no batch
    norm and keeps the bias.
    """
    _, kernel, bias = operation.inputs
    weights, offset = graph.constant(kernel), graph.constant(bias)
    # The file's kernel is [out, height, width, in], a depthwise one [1, height, width, channels].
    values[f"{layer}/kernel"] = weights.transpose(1, 2, 3, 0)
    if layer == "logits":
        values["logits/bias"] = offset
        return
    identity = {
        "gamma": np.ones_like(offset),
        "beta": offset,
        "moving_mean": np.zeros_like(offset),
        "moving_variance": np.full_like(offset, 1.0 - epsilon),
    }
    for part, value in identity.items():
        values[f"{layer}_bn/{part}"] = value


def _order_branches(
    graph: _Graph, head: dict[str, _Operation], values: dict[str, np.ndarray]
) -> None:
    """Reorders the input channels of `aspp_project` into our order: 1x1 branch, image pooling."""
    (concat,) = graph.users(head["aspp_conv1"].output)
    order = [graph.origin(tensor) for tensor in concat.inputs]
    if order[0] == head["aspp_pool"].output:
        kernel = values["aspp_project/kernel"]
        half = graph.shape(order[0])[-1]
        values["aspp_project/kernel"] = np.concatenate(
            [kernel[:, :, half:], kernel[:, :, :half]], axis=2
        )
