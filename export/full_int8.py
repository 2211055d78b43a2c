"""Full int8: the conversion of a float LiteRT file to one that computes in integers throughout.

The converter's own calibration is not used, for two reasons. The calibration reads a tensor after
the next operation may have been computed in the tensor's place, so that the range of an addition's
input becomes that of the sum. The calibration also gives the network's input the range of the
images, not 0 to 255.
"""

import re
from collections.abc import Sequence
from typing import Any

from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.python.convert import ConverterError, mlir_quantize
from tensorflow.lite.python.util import modify_model_io_type
from tensorflow.lite.tools import flatbuffer_utils
from tensorflow.python.framework.dtypes import float32, uint8

from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.machine.stderr import quiet_stderr

from .convolutions import ConvolutionFile
from .images import ComparedImage
from .input_moments import InputMoments
from .ranges import Ranges, measure
from .rounding import round_weights
from .tensors import TensorReader, layer_of

NORMALIZE = "normalize"
"""The name of the network's first layer."""


def quantize_full(
    float_file: bytes,
    layers: Sequence[str],
    images: Sequence[ComparedImage],
    keep_float: Sequence[str] = (),
    bytes_in: bool = True,
) -> bytes:
    """Returns the float file converted to integers, with uint8 pixels and logits.

    The numbers inside are int8, the weights by channel.

    Args:
        float_file: a LiteRT file that takes pixels 0..255 as [1, H, W, 3], float32; without
            `bytes_in` [1, H, W, bands] of any kind.
        layers: names of all layers of the network.
        images: those that give each tensor's range and what the weights are multiplied with, of
            the file's size where that is fixed.
        keep_float: regular expressions; a layer computes in float32 where one fits its whole name.
        bytes_in: whether the input becomes uint8; else it stays as it is, and the first layer
            computes in float32.

    Raises:
        DeeplabError: there is no image, a pattern fits no layer, a tensor is not finite, or the
            quantiser refuses the file.
    """
    reader = TensorReader(float_file)
    kept = tensors_to_keep(reader, layers, keep_float)
    if not bytes_in:
        written = [operation.output for operation in reader.operations]
        kept += [t for t in written if t not in kept and layer_of(t, layers) == NORMALIZE]
    exact = ConvolutionFile(float_file)
    moments = InputMoments(c for c in exact.convolutions if c.output not in kept)
    measured = measure(reader, images, moments.add)
    calibrated = with_ranges(float_file, measured.ranges(kept=kept, bytes_in=bytes_in))
    try:
        with quiet_stderr():
            quantized: Any = mlir_quantize(calibrated, denylisted_nodes=kept or None)
            quantized = with_fitted_weights(quantized, exact, moments)
            # float32 means here that the input stays as it is.
            pixels = uint8 if bytes_in else float32
            return modify_model_io_type(quantized, pixels, uint8)
    except (ConverterError, ValueError, RuntimeError) as error:
        raise DeeplabError(
            f"the LiteRT quantiser refused the model: {one_line(str(error))[:300]}"
        ) from error


def with_fitted_weights(quantized: bytes, exact: ConvolutionFile, moments: InputMoments) -> bytes:
    """Returns the file with the weights of its integer convolutions rounded by `round_weights`.

    A convolution whose output the quantiser has renamed, and one that shares its kernel or bias
    with another operation, stay as they are.

    Args:
        quantized: the file with weights rounded to the nearest.
        exact: the float file that it was made of.
        moments: those of the convolutions' inputs.
    """
    file = ConvolutionFile(quantized)
    known = {convolution.output: convolution for convolution in exact.convolutions}
    for convolution in filter(file.is_integer, file.convolutions):
        original = known.get(convolution.output)
        if original is None or file.shared.intersection(convolution.tensors):
            continue
        weights, bias = exact.weights(original), exact.bias(original)
        finest = file.finest_steps(convolution, bias)
        steps, scales = round_weights(weights, moments.of(original), finest)
        file.put_integers(convolution, steps, scales, bias)
    return file.content()


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
