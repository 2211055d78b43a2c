"""Full int8: the conversion of a float LiteRT file to one that computes in integers throughout.

The converter's own calibration is not used, for two reasons. The calibration reads a tensor after
the next operation may have been computed in the tensor's place, so that the range of an addition's
input becomes that of the sum. The calibration also gives the network's input the range of the
images, not 0 to 255.
"""

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.python.convert import ConverterError, mlir_quantize
from tensorflow.lite.python.util import modify_model_io_type
from tensorflow.lite.tools import flatbuffer_utils
from tensorflow.python.framework.dtypes import float32, uint8

from deeplab_tf.artefacts.litert import CONVOLUTIONS
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.machine.stderr import quiet_stderr

from .tensors import TensorReader, layer_of

Ranges = dict[str, tuple[float, float]]
"""The least and the largest number of each tensor, by its name."""

PIXELS = (0.0, 255.0)
PRODUCTS = (*CONVOLUTIONS, "FULLY_CONNECTED", "MUL")
"""Operations whose sums are whole multiples of the product of the scales of both inputs."""
FINER = ("ADD", "MEAN", "HARD_SWISH")
MOST_FINER = 100
"""How many times finer than its input the output of `FINER` can be; LiteRT allows 128 and more."""


def quantize_full(
    float_file: bytes,
    layers: Sequence[str],
    images: Iterable[np.ndarray],
    keep_float: Sequence[str] = (),
    bytes_in: bool = True,
) -> bytes:
    """Returns the float file converted to integers, with uint8 pixels and logits.

    The numbers inside are int8, the weights by channel.

    Args:
        float_file: a LiteRT file that takes pixels 0..255 as [1, H, W, 3], float32, or pixels of
            any kind where the first layer is kept float.
        layers: names of all layers of the network.
        images: [H, W, bands], of the file's size where that is fixed, on which the range of every
            tensor is measured.
        keep_float: regular expressions; a layer computes in float32 where one fits its whole name.
        bytes_in: whether the input becomes uint8; else it stays as it is.

    Raises:
        DeeplabError: there is no image, a pattern fits no layer, a tensor is not finite, or the
            quantiser refuses the file.
    """
    reader = TensorReader(float_file)
    kept = tensors_to_keep(reader, layers, keep_float)
    calibrated = with_ranges(float_file, measure_ranges(reader, images))
    try:
        with quiet_stderr():
            quantized = mlir_quantize(calibrated, denylisted_nodes=kept or None)
            # float32 means here that the input stays as it is.
            pixels = uint8 if bytes_in else float32
            return modify_model_io_type(quantized, pixels, uint8)
    except (ConverterError, ValueError, RuntimeError) as error:
        raise DeeplabError(
            f"the LiteRT quantiser refused the model: {one_line(str(error))[:300]}"
        ) from error


def measure_ranges(reader: TensorReader, images: Iterable[np.ndarray]) -> Ranges:
    """Returns the range of every float tensor that an operation writes, over all images.

    The input's range is `PIXELS`, so that a byte is the pixel itself.

    Raises:
        DeeplabError: there is no image, or a tensor is not finite.
    """
    written = [o.output for o in reader.operations if reader.dtypes[o.output] == np.float32]
    low, high = dict.fromkeys(written, np.inf), dict.fromkeys(written, -np.inf)
    read = None
    for image in images:
        read = reader.run(image)
        for name in written:
            values = read(name)
            low[name] = min(low[name], float(values.min()))
            high[name] = max(high[name], float(values.max()))
    if read is None:
        raise DeeplabError(
            "there is no image to calibrate int8 on; the split to train on must have some"
        )
    broken = [name for name in written if not np.isfinite([low[name], high[name]]).all()]
    if broken:
        raise DeeplabError(f"{broken[0]} of the model is not finite; train the model anew")
    ranges = {reader.input: PIXELS} | {name: (low[name], high[name]) for name in written}
    return wide_enough(reader, ranges, read)


def wide_enough(reader: TensorReader, ranges: Ranges, read: Callable[[str], np.ndarray]) -> Ranges:
    """Returns the ranges, each at least as wide as the kernels for integers can compute it.

    A tensor that is 0 on all images, as a squeeze whose ReLU lets nothing through, has no width.
    Its scale would be so small that LiteRT's kernels refuse the file, and that the bias of the next
    convolution overflows.

    Args:
        reader: the float file.
        ranges: the ranges as measured.
        read: gives the numbers of a constant by its name.
    """
    ranges = dict(ranges)

    def scale(name: str) -> float:
        if name not in ranges:
            return float(np.abs(read(name)).max()) / 127
        low, high = ranges[name]
        return (max(high, 0.0) - min(low, 0.0)) / 255

    for operation in reader.operations:
        if operation.output not in ranges:
            continue
        if operation.kind in PRODUCTS:
            finest = scale(operation.inputs[0]) * scale(operation.inputs[1])
        elif operation.kind in FINER:
            floats = (n for n in operation.inputs if reader.dtypes[n] == np.float32)
            finest = max(map(scale, floats)) / MOST_FINER
        else:
            continue
        if scale(operation.output) < finest:
            low, _ = ranges[operation.output]
            ranges[operation.output] = (low, min(low, 0.0) + 255 * finest)
    return ranges


def with_ranges(content: bytes, ranges: Ranges) -> bytes:
    """Returns the file with each tensor's range noted in it, as the quantiser reads it."""
    model = flatbuffer_utils.convert_bytearray_to_object(content)
    for tensor in model.subgraphs[0].tensors:  # pyright: ignore[reportOptionalIterable]
        name = tensor.name.decode()
        if name in ranges:
            tensor.quantization = tensor.quantization or schema.QuantizationParametersT()
            low, high = ranges[name]
            tensor.quantization.min, tensor.quantization.max = [low], [high]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def tensors_to_keep(
    reader: TensorReader, layers: Sequence[str], patterns: Sequence[str]
) -> list[str]:
    """Returns the names of the tensors that the layers fitting `patterns` write.

    The quantiser knows layers by these names.

    Raises:
        DeeplabError: a pattern fits the whole name of no layer that computes.
    """
    # The file's outputs, the last layer's logits and their argmax, have the signature's names, so
    # the last layer is taken where no layer's name is found.
    written = {o.output: layer_of(o.output, layers) or layers[-1] for o in reader.operations}
    known = list(dict.fromkeys(written.values()))
    for pattern in patterns:
        if not any(re.fullmatch(pattern, layer) for layer in known):
            raise DeeplabError(
                f"--keep_float={pattern} must fit the whole name of a layer; there are "
                f"{', '.join(known)}"
            )
    kept = {layer for layer in known for pattern in patterns if re.fullmatch(pattern, layer)}
    return [tensor for tensor, layer in written.items() if layer in kept]
