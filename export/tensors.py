"""The operations of a LiteRT file, and every tensor of one of its runs.

Tested in tests/export/test_full_int8.py and tests/export/test_litert_kinds.py.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence

import numpy as np

from deeplab_tf.artefacts.litert import dequantized, new_interpreter


@dataclasses.dataclass(frozen=True)
class Operation:
    """One operation: its builtin's name, and the names of the tensors that it reads and writes."""

    kind: str
    inputs: tuple[str, ...]
    output: str


class TensorReader:
    """A LiteRT file of one image input, run without delegates, whose tensors can all be read.

    Attributes:
        operations: the operations of the main graph, in order.
        input: the name of the image's tensor.
        dtypes: the dtype of every tensor, by the tensor's name.
    """

    def __init__(self, content: bytes):
        # A delegate would show its own nodes instead, and hide the tensors inside them.
        self._interpreter = new_interpreter(
            delegates=False, keep_tensors=True, model_content=content
        )
        self._details = {d["name"]: d for d in self._interpreter.get_tensor_details()}
        names = {d["index"]: name for name, d in self._details.items()}
        self.dtypes = {name: np.dtype(d["dtype"]) for name, d in self._details.items()}
        self.input = str(self._interpreter.get_input_details()[0]["name"])
        self.operations = [
            Operation(
                node["op_name"],
                # An index of -1 is an optional input that is not there.
                tuple(names[i] for i in node["inputs"] if i in names),
                names[node["outputs"][0]],
            )
            for node in self._interpreter._get_ops_details()
        ]

    def run(self, image: np.ndarray) -> Callable[[str], np.ndarray]:
        """Runs the file on an image [H, W, bands].

        Pixels go in as they are, in the dtype of the input.

        Returns:
            A function from a tensor's name to the tensor's numbers in this run, float32.
        """
        details = self._interpreter.get_input_details()[0]
        batch = image[None].astype(details["dtype"])
        if tuple(details["shape"]) != batch.shape:
            self._interpreter.resize_tensor_input(details["index"], batch.shape)
            self._interpreter.allocate_tensors()
        self._interpreter.set_tensor(details["index"], batch)
        self._interpreter.invoke()

        def read(name: str) -> np.ndarray:
            details = self._details[name]
            return dequantized(self._interpreter.get_tensor(details["index"]), details)

        return read


def layer_of(tensor: str, layers: Sequence[str]) -> str | None:
    """Returns the layer of our network that wrote a tensor of a converted file; None if unknown.

    A convolution with its batch norm and ReLU is one operation in the file, called
    `deeplabv3_1/conv1_relu_1/Relu;deeplabv3_1/conv1_bn_1/...`; its layer is the convolution's.
    Keras numbers the scope of a layer by its calls.

    Args:
        tensor: the tensor's name in the file.
        layers: names of all layers of the network.
    """
    for scope in tensor.split(";")[0].split("/"):
        fitting = [name for name in layers if re.fullmatch(rf"{re.escape(name)}(_\d+)?", scope)]
        if fitting:
            layer = max(fitting, key=len)
            convolution = re.sub("(_bn|_relu|_hard_swish)+$", "", layer)
            return convolution if convolution in layers else layer
    return None
