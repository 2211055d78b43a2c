"""Checks and changes of an ONNX graph: padding in numbers, sides by name, atrous convolutions.

Tested in tests/export/test_onnx.py.
"""

from typing import Any

import keras
import onnx

from deeplab_tf.errors import DeeplabError

from .operations import refuse_uncounted_atrous

SIDES = ("batch", "height", "width")
"""The names of the open dimensions of every input and output."""


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Returns the attributes of a node as Python values; text is bytes."""
    return {given.name: onnx.helper.get_attribute_value(given) for given in node.attribute}


def atrous_convolutions(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Returns the nodes that compute a convolution with dilations by themselves."""
    return [
        node
        for node in model.graph.node
        if node.op_type == "Conv" and max(attributes(node).get("dilations", [1])) > 1
    ]


def refuse_lowered_atrous(model: onnx.ModelProto, network: keras.Model) -> None:
    """Raises `DeeplabError` unless each atrous layer of `network` is one `Conv` with dilations."""
    refuse_uncounted_atrous(len(atrous_convolutions(model)), network, "the ONNX file")


def refuse_unknown_operations(model: onnx.ModelProto) -> None:
    """Raises `DeeplabError` for an operation that is not ONNX's.

    The converter leaves an operation that it does not know as it was.
    """
    unknown = {
        node.op_type for node in model.graph.node if not onnx.defs.has(node.op_type, node.domain)
    }
    if unknown:
        raise DeeplabError(
            "the ONNX file must have only ONNX's operations, and the converter knows none for "
            f"{', '.join(sorted(unknown))}; export the model as a SavedModel"
        )


def pad_in_numbers(model: onnx.ModelProto) -> None:
    """Writes `auto_pad` of every convolution as the zeros on each side, in place.

    ONNX Runtime computes no convolution that has both `auto_pad` and dilations. SAME padding with a
    stride of 1 and an odd kernel is as many zeros before as after, whatever the image's size.

    Raises:
        DeeplabError: the padding of a convolution depends on the image's size.
    """
    for node in model.graph.node:
        given = attributes(node)
        if given.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID"):
            continue
        kernel = given["kernel_shape"]
        dilations, strides = (given.get(name, [1, 1]) for name in ("dilations", "strides"))
        around = [rate * (side - 1) // 2 for rate, side in zip(dilations, kernel, strict=True)]
        if any(side % 2 == 0 for side in kernel) or (max(strides) > 1 and max(kernel) > 1):
            raise DeeplabError(
                f"the padding of {node.name} must not depend on the image's size: an odd kernel "
                f"and stride 1. Received: kernel {list(kernel)}, strides {list(strides)}"
            )
        kept = [attribute for attribute in node.attribute if attribute.name != "auto_pad"]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute("pads", around * 2)])


def name_sides(model: onnx.ModelProto) -> None:
    """Names the open dimensions of the inputs and outputs in place; the converter numbers them."""
    for value in (*model.graph.input, *model.graph.output):
        dimensions = value.type.tensor_type.shape.dim
        for dimension, name in zip(dimensions, SIDES, strict=False):
            dimension.dim_param = name
