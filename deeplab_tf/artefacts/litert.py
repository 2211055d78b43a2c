"""LiteRT (TensorFlow Lite) files, anyone's: a segmentation model as a function of pixels."""

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np

from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.files import quiet_stderr
from deeplab_tf.machine.system import usable_cores

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
"""Operations with a kernel, by their builtins' names."""


def open_interpreter(
    path: pathlib.Path, *, delegates: bool = True, keep_tensors: bool = False
) -> Any:
    """An interpreter of the file at `path` with its tensors allocated.

    Args:
        path: a `.tflite` file.
        delegates: whether XNNPACK may compute; without it the operations are those of the file.
        keep_tensors: whether all tensors can be read after a run, not only the outputs.

    Raises:
        DeeplabError: it does not exist, is damaged, or needs operations that are not built in.
    """
    if not path.is_file():
        raise DeeplabError(f"LiteRT file {path} does not exist")
    try:
        return new_interpreter(delegates=delegates, keep_tensors=keep_tensors, model_path=str(path))
    except (ValueError, RuntimeError) as error:
        raise DeeplabError(
            f"LiteRT file {path} is damaged: {one_line(str(error))[:200]}"
        ) from error


def new_interpreter(*, delegates: bool = True, keep_tensors: bool = False, **source: Any) -> Any:
    """As `open_interpreter`, of a `source` that is `model_path` or `model_content`.

    Raises:
        ValueError, RuntimeError: as the interpreter does for a file that is damaged.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = (
        OpResolverType.AUTO if delegates else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    with quiet_stderr():
        interpreter = Interpreter(
            num_threads=usable_cores(),
            experimental_op_resolver_type=resolver,
            experimental_preserve_all_tensors=keep_tensors,
            **source,
        )
        interpreter.allocate_tensors()
    return interpreter


def dequantized(values: np.ndarray, details: dict) -> np.ndarray:
    """The real numbers that a tensor's `values` stand for, by the interpreter's `details` of it:
    `scale * (value - zero_point)`, by channel where there are several; float values as they are."""
    quantization = details["quantization_parameters"]
    scales, zeros = quantization["scales"], quantization["zero_points"]
    if np.issubdtype(values.dtype, np.floating) or not scales.size:
        return np.asarray(values, np.float32)
    if scales.size > 1:
        shape = [1] * values.ndim
        shape[quantization["quantized_dimension"]] = -1
        scales, zeros = scales.reshape(shape), zeros.reshape(shape)
    return ((values.astype(np.float64) - zeros) * scales).astype(np.float32)


def as_input(image: np.ndarray, dtype: type) -> np.ndarray:
    """Pixels, uint8, as the networks of others take them: float32 in [-1, 1], as DeepLab's and
    MobileNetV2's are fed, int8 less 128, or uint8 as they are."""
    if dtype == np.float32:
        return image.astype(np.float32) / np.float32(127.5) - np.float32(1.0)
    if dtype == np.int8:
        return (image.astype(np.int16) - 128).astype(np.int8)
    return image


@dataclasses.dataclass(frozen=True)
class LiteRTSegmenter:
    """A LiteRT file from an image to labels or logits of its size, as it is.

    Attributes:
        path: of the file.
        size: (height, width) of the images that it takes; None is any.
        num_classes: channels of its logits, also where it ends in their argmax; None if unknown.
    """

    path: pathlib.Path
    size: tuple[int, int] | None
    num_classes: int | None
    _interpreter: Any
    _input: dict
    _labels: dict | None
    _logits: dict | None

    def run(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """uint8 [1, H, W, 3] -> labels, integers [1, H, W], and logits float32 [1, H, W, C] if the
        file gives them. The pixels go in by `as_input`."""
        if self.size is None:
            self._interpreter.resize_tensor_input(self._input["index"], image.shape)
            self._interpreter.allocate_tensors()
        self._interpreter.set_tensor(self._input["index"], as_input(image, self._input["dtype"]))
        self._interpreter.invoke()
        logits = None
        if self._logits is not None:
            logits = dequantized(self._answer(self._logits), self._logits)
        if self._labels is not None:
            return self._answer(self._labels), logits
        assert logits is not None
        return logits.argmax(axis=-1), logits

    def _answer(self, output: dict) -> np.ndarray:
        return self._interpreter.get_tensor(output["index"])


def open_segmenter(path: str | os.PathLike) -> LiteRTSegmenter:
    """Opens a LiteRT segmentation file, anyone's.

    Raises:
        DeeplabError: it is damaged, or does not map one image [1, H, W, 3], of one size or of any,
            to logits [1, H, W, C] or labels [1, H, W] of its size.
    """
    path = pathlib.Path(path)
    interpreter = open_interpreter(path)
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    # An open side is -1 in the signature alone.
    image = tuple(int(n) for n in inputs[0]["shape_signature"])
    shapes = [tuple(int(n) for n in output["shape_signature"]) for output in outputs]
    labels = [output for output, shape in zip(outputs, shapes, strict=True) if shape == image[:3]]
    logits = [
        output
        for output, shape in zip(outputs, shapes, strict=True)
        if len(shape) == 4 and shape[:3] == image[:3]
    ]
    dtype = np.dtype(inputs[0]["dtype"]).name
    if (
        len(inputs) > 1
        or len(image) != 4
        or image[::3] != (1, 3)
        or dtype not in ("float32", "uint8", "int8")
        or len(labels) > 1
        or len(logits) > 1
        or not labels + logits
        or any(not 2 <= int(output["shape"][-1]) <= 255 for output in logits)
        or min(image[1:3]) < 0 < max(image[1:3])
    ):
        raise DeeplabError(
            f"LiteRT file {path} must map one image [1, H, W, 3] (float32, uint8 or int8) to "
            f"logits [1, H, W, 2 to 255] or labels [1, H, W]. Received: {len(inputs)} input(s), "
            f"{dtype} {list(image)} to {[list(shape) for shape in shapes]}"
        )
    classes = int(logits[0]["shape"][-1]) if logits else _classes_before_argmax(path)
    return LiteRTSegmenter(
        path,
        None if image[1] < 0 else (image[1], image[2]),
        classes,
        interpreter,
        inputs[0],
        *(found[0] if found else None for found in (labels, logits)),
    )


def _classes_before_argmax(path: pathlib.Path) -> int | None:
    """The channels of what the file's last ARG_MAX is taken of."""
    interpreter = open_interpreter(path, delegates=False)
    shapes = {t["index"]: t["shape"] for t in interpreter.get_tensor_details()}
    for operation in reversed(interpreter._get_ops_details()):
        if operation["op_name"] == "ARG_MAX":
            return int(shapes[operation["inputs"][0]][-1])
    return None
