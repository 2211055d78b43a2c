"""The convolutions of a LiteRT file with one graph, whose weights and biases can be replaced.

Tested in tests/export/test_input_moments.py.
"""

import dataclasses
from collections import Counter
from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from deeplab_tf.artefacts.litert import CONVOLUTIONS

_DTYPES = {
    schema.TensorType.FLOAT32: np.dtype("<f4"),
    schema.TensorType.INT8: np.dtype("i1"),
    schema.TensorType.INT32: np.dtype("<i4"),
}
LARGEST_BIAS = 2**30
"""The most steps of a bias, which int32 has to hold next to the sum of the products."""
_KINDS = {getattr(schema.BuiltinOperator, name): name for name in CONVOLUTIONS}


@dataclasses.dataclass(frozen=True)
class Convolution:
    """One convolution of a file.

    Attributes:
        depthwise: whether each input channel has filters of its own.
        input, output: the names of the activations.
        tensors: the numbers, in the file, of input, kernel and bias.
        kernel: the kernel's (height, width).
        strides, rates: (vertical, horizontal).
        same: whether the padding is SAME; VALID otherwise.
    """

    depthwise: bool
    input: str
    output: str
    tensors: tuple[int, int, int]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    rates: tuple[int, int]
    same: bool


class ConvolutionFile:
    """A LiteRT file, taken apart.

    Attributes:
        convolutions: the convolutions with a constant kernel and bias, in order.
        shared: the kernels and biases, by number, that more than one operation reads.
    """

    def __init__(self, content: bytes):
        # The generated classes have no types that pyright could follow.
        self._model: Any = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
        self._graph: Any = self._model.subgraphs[0]
        self.convolutions = [
            found for operator in self._graph.operators if (found := self._convolution(operator))
        ]
        read = Counter(int(i) for o in self._graph.operators for i in {*o.inputs})
        self.shared = {i for c in self.convolutions for i in c.tensors[1:] if read[i] > 1}

    def _convolution(self, operator) -> Convolution | None:
        code = self._model.operatorCodes[operator.opcodeIndex]
        kind = _KINDS.get(max(code.builtinCode, code.deprecatedBuiltinCode))
        tensors = tuple(int(i) for i in operator.inputs)
        if kind is None or len(tensors) != 3 or not all(map(self._is_constant, tensors[1:])):
            return None
        options, shape = operator.builtinOptions, self._graph.tensors[tensors[1]].shape
        return Convolution(
            kind == "DEPTHWISE_CONV_2D",
            self._graph.tensors[tensors[0]].name.decode(),
            self._graph.tensors[operator.outputs[0]].name.decode(),
            tensors,
            (int(shape[1]), int(shape[2])),
            (options.strideH, options.strideW),
            (options.dilationHFactor, options.dilationWFactor),
            options.padding == schema.Padding.SAME,
        )

    def _is_constant(self, tensor: int) -> bool:
        if tensor < 0:
            return False
        found = self._graph.tensors[tensor]
        data = self._model.buffers[found.buffer].data
        return found.type in _DTYPES and data is not None and len(data) > 0

    def is_integer(self, convolution: Convolution) -> bool:
        """Returns whether the weights are int8."""
        return self._graph.tensors[convolution.tensors[1]].type == schema.TensorType.INT8

    def weights(self, convolution: Convolution) -> np.ndarray:
        """Returns the weights as the file has them, float64 [output channels, weights of each]."""
        kernel = self._numbers(convolution.tensors[1])
        if convolution.depthwise:  # [1, height, width, channels]
            return kernel.reshape(-1, kernel.shape[-1]).T
        return kernel.reshape(len(kernel), -1)

    def bias(self, convolution: Convolution) -> np.ndarray:
        """Returns the bias as the file has it, float64 [output channels]."""
        return self._numbers(convolution.tensors[2])

    def input_scale(self, convolution: Convolution) -> float:
        """Returns the scale of the input of an integer convolution."""
        return float(self._graph.tensors[convolution.tensors[0]].quantization.scale[0])

    def finest_steps(self, convolution: Convolution, bias: np.ndarray) -> np.ndarray:
        """Returns the least step of each channel's weights whose bias int32 can hold, float64 [O].

        The step of a bias is that of the weights times that of the input.

        Args:
            convolution: one of integers.
            bias: the real bias, [output channels].
        """
        # A step of 0 in float32 would divide 0 by 0.
        largest = np.maximum(np.abs(bias), 1e-20)
        return largest / (LARGEST_BIAS * self.input_scale(convolution))

    def weight_scales(self, convolution: Convolution) -> np.ndarray:
        """Returns the step of each output channel of an integer convolution, float64 [O]."""
        return np.asarray(
            self._graph.tensors[convolution.tensors[1]].quantization.scale, np.float64
        )

    def put_integers(
        self, convolution: Convolution, steps: np.ndarray, scales: np.ndarray, bias: np.ndarray
    ) -> None:
        """Replaces the weights and the bias of an integer convolution.

        Args:
            convolution: one of `convolutions`.
            steps: the weights in steps, -127..127, [output channels, weights of each].
            scales: the step of each output channel, [output channels], `finest_steps` or more.
            bias: the real bias, [output channels]; LiteRT's is in steps of input times weight.
        """
        _, kernel, biases = convolution.tensors
        scales = np.asarray(scales, np.float32)
        bias_scales = scales * np.float32(self.input_scale(convolution))
        self._put(kernel, steps.T if convolution.depthwise else steps, scales)
        whole = np.round(bias / bias_scales.astype(np.float64))
        assert np.abs(whole).max() < 2 * LARGEST_BIAS, "a bias is too large for int32"
        self._put(biases, whole, bias_scales)

    def content(self) -> bytes:
        """Returns the file."""
        return bytes(flatbuffer_utils.convert_object_to_bytearray(self._model))

    def _numbers(self, tensor: int) -> np.ndarray:
        found = self._graph.tensors[tensor]
        data = bytes(self._model.buffers[found.buffer].data)
        return np.frombuffer(data, _DTYPES[found.type]).reshape(found.shape).astype(np.float64)

    def _put(self, tensor: int, numbers: np.ndarray, scales: np.ndarray) -> None:
        found = self._graph.tensors[tensor]
        found.quantization.scale = scales
        data = np.ascontiguousarray(numbers, _DTYPES[found.type]).tobytes()
        self._model.buffers[found.buffer].data = np.frombuffer(data, np.uint8)
