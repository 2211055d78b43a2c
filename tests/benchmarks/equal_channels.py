"""Cross-layer equalisation of a float LiteRT file, for int8_unseen.py.

The channels of a convolution's output have scales of their own where no activation is bounded. A
sum and its inputs share the scales, and the convolutions that read them divide them out again, so
that the file computes the same. Each channel is made as loud as the loudest one of one of its
tensors. Outputs of a ReLU6 keep their scale, since 6 is 6 for all channels.
"""

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

KINDS = {
    getattr(schema.BuiltinOperator, name): name
    for name in ("CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN")
}
FREE = (schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU)

MOST = 100
"""How many times louder a channel may become."""


def equalized(content: bytes, loudest: dict[str, np.ndarray]) -> bytes:
    """The file with equally loud channels.

    `loudest` has the largest absolute number of each channel, by the names of the tensors.
    """
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    graph = model.subgraphs[0]
    tied: dict[int, set[int]] = {}
    fixed = {int(i) for i in (*graph.inputs, *graph.outputs)}
    convolutions = []
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        kind = KINDS.get(max(code.builtinCode, code.deprecatedBuiltinCode))
        inputs, output = [int(i) for i in operator.inputs], int(operator.outputs[0])
        activation = getattr(operator.builtinOptions, "fusedActivationFunction", 0)
        if kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            convolutions.append((kind, inputs, output))
            tied.setdefault(output, {output})
            if activation not in FREE:
                fixed.add(output)
        elif kind == "MEAN" or (kind == "ADD" and activation in FREE and {*inputs} <= tied.keys()):
            sources = inputs[:1] if kind == "MEAN" else inputs
            together = set.union({output}, *(tied.get(i, {i}) for i in sources))
            for i in together:
                tied[i] = together
        else:
            fixed |= {*inputs, output}
    scales = {}
    for tensor, together in tied.items():
        if together & fixed:
            continue
        room = [_room(loudest[graph.tensors[i].name.decode()]) for i in together]
        scales[tensor] = np.min(room, axis=0)

    def change(tensor: int, factor: np.ndarray) -> None:
        buffer = model.buffers[graph.tensors[tensor].buffer]
        numbers = np.frombuffer(bytes(buffer.data), "<f4").reshape(graph.tensors[tensor].shape)
        buffer.data = np.frombuffer((numbers * factor).astype("<f4").tobytes(), np.uint8)

    for kind, (source, kernel, bias), output in convolutions:
        if source in scales:
            change(kernel, 1 / scales[source])
        if output in scales:
            by_output = scales[output]
            change(kernel, by_output[:, None, None, None] if kind == "CONV_2D" else by_output)
            change(bias, by_output)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _room(loudest: np.ndarray) -> np.ndarray:
    """How many times louder each channel can be; one that is nearly silent stays as it is."""
    room = loudest.max() / np.maximum(loudest, 1e-30)
    return np.where(room < MOST, room, 1)
