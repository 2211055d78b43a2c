"""The operations that an artefact is made of, and checks for those that none of ours may have.

Tested in tests/export/test_litert.py and tests/export/test_web.py.
"""

import collections
import os
import pathlib

import keras
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from deeplab_tf.artefacts.saved_model import SAVED_MODEL_FILE
from deeplab_tf.errors import DeeplabError
from deeplab_tf.models import AtrousConv2D, AtrousDepthwiseConv2D


def saved_model_operations(directory: str | os.PathLike) -> collections.Counter[str]:
    """Counts how often each operation occurs in the graph and all functions of a SavedModel."""
    saved_model = SavedModel()
    saved_model.ParseFromString((pathlib.Path(directory) / SAVED_MODEL_FILE).read_bytes())
    counts: collections.Counter[str] = collections.Counter()
    for meta_graph in saved_model.meta_graphs:
        counts += graph_operations(meta_graph.graph_def)
    return counts


def graph_operations(graph: GraphDef) -> collections.Counter[str]:
    """Counts how often each operation occurs in a graph and in the functions of its library."""
    functions = [node.op for function in graph.library.function for node in function.node_def]
    return collections.Counter([node.op for node in graph.node] + functions)


def litert_operations(content: bytes) -> collections.Counter[str]:
    """Counts how often each operation occurs in the main graph of a LiteRT file, by builtin name.

    The operations are read from an interpreter without delegates, which would show their own nodes
    instead. The interpreter is not made ready to run, so that the operations of a file that could
    not run are reported too.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=resolver)
    return collections.Counter(node["op_name"] for node in interpreter._get_ops_details())


def refuse_space_to_batch(operations: collections.Counter[str], artefact: str) -> None:
    """Raises `DeeplabError` if an atrous convolution was not written as one native operation."""
    found = [name for name in operations if "spacetobatch" in name.replace("_", "").lower()]
    if found:
        raise DeeplabError(
            f"{artefact} must have one operation for each atrous convolution. Received: "
            f"{operations[found[0]]} {found[0]}, several times slower; make the network's atrous "
            "layers AtrousConv2D and AtrousDepthwiseConv2D of deeplab_tf"
        )


def refuse_uncounted_atrous(found: int, network: keras.Model, artefact: str) -> None:
    """Raises `DeeplabError` unless each atrous layer of `network` is one operation of an artefact.

    SpaceToBatch becomes padding, reshaping and transposing where a format has no such operation,
    and all three have other uses: so the convolutions are counted.

    Args:
        found: the convolutions with dilations in the artefact.
        network: the Keras model.
        artefact: the artefact in words, as `the ONNX file`.
    """
    layers = [
        layer
        for layer in network.layers
        if isinstance(layer, AtrousConv2D | AtrousDepthwiseConv2D) and max(layer.dilation_rate) > 1
    ]
    if found != len(layers):
        raise DeeplabError(
            f"{artefact} must have one convolution with dilations for each of the {len(layers)} "
            f"atrous layers; other forms are several times slower. Received: {found}"
        )


def custom_operations(content: bytes) -> list[str]:
    """Returns the names of a LiteRT file's operations, in any of its graphs, that are not built in.

    Such operations are TensorFlow's own (`Flex...`) and custom ones.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content)
    codes = (model.OperatorCodes(index) for index in range(model.OperatorCodesLength()))
    custom = [code for code in codes if code.BuiltinCode() == schema.BuiltinOperator.CUSTOM]
    return sorted((code.CustomCode() or b"unnamed").decode() for code in custom)


def refuse_custom_operations(content: bytes, artefact: str) -> None:
    """Raises `DeeplabError` if the LiteRT file has operations that are not built in.

    A browser has only the builtin operations, and would compute garbage for others without an
    error.
    """
    found = custom_operations(content)
    if found:
        raise DeeplabError(
            f"{artefact} has operations that are not built into LiteRT: {', '.join(found)}; a page "
            "must have only builtin operations"
        )
