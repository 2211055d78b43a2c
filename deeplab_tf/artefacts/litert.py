"""LiteRT (TensorFlow Lite) files of any origin, opened as functions from pixels to labels."""

import dataclasses
import os
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np

from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.machine.stderr import quiet_stderr
from deeplab_tf.machine.system import usable_cores

if TYPE_CHECKING:  # a process that only runs a file need not import the configs
    from deeplab_tf.config.image_format import ImageFormat

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
"""The operations with a kernel, by the names of LiteRT's built-in operations."""


def open_interpreter(
    path: pathlib.Path, *, delegates: bool = True, keep_tensors: bool = False
) -> Any:
    """Returns an interpreter of the file at `path` with its tensors allocated.

    Args:
        path: a `.tflite` file.
        delegates: whether XNNPACK may compute; if not, the operations are those of the file.
        keep_tensors: whether all tensors can be read after a run, not only the outputs.

    Raises:
        DeeplabError: the file does not exist, is damaged, or needs operations that are not built
            in.
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
    """Returns an interpreter of `source`, which is `model_path=...` or `model_content=...`.

    The other arguments are those of `open_interpreter`.

    Raises:
        ValueError, RuntimeError: the interpreter's own errors for a damaged file.
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
    """Returns the real numbers, float32, that a tensor's `values` stand for.

    Integers become `scale * (value - zero_point)`, with the scales in the interpreter's `details`
    of the tensor, by channel where there are several. Float values stay as they are.
    """
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
    """Returns pixels in the `dtype` and range that a file takes.

    Pixels of that dtype stay as they are. uint8 pixels become those that networks of other projects
    take: float32 in [-1, 1], as for DeepLab's and MobileNetV2's networks, or int8, the pixels minus
    128.
    """
    if image.dtype == dtype:
        return image
    if dtype == np.float32:
        return image.astype(np.float32) / np.float32(127.5) - np.float32(1.0)
    if dtype == np.int8:
        return (image.astype(np.int16) - 128).astype(np.int8)
    raise ValueError(f"{image.dtype} pixels for a file that takes {np.dtype(dtype)}")


@dataclasses.dataclass(frozen=True)
class LiteRTSegmenter:
    """A LiteRT file as a function from an image to labels or logits of the image's size.

    Attributes:
        path: the path of the file.
        size: (height, width) of the images that the file takes; None is any size.
        num_classes: channels of the file's logits, also where the file ends in their argmax; None
            if unknown.
    """

    path: pathlib.Path
    size: tuple[int, int] | None
    num_classes: int | None
    _interpreter: Any
    _input: dict
    _labels: dict | None
    _logits: dict | None

    @property
    def gives_logits(self) -> bool:
        """Returns whether `run` gives logits."""
        return self._logits is not None

    @property
    def logits_step(self) -> float:
        """Returns the distance of neighbouring values of the logits; 0.0 where they are floats."""
        if self._logits is None or np.issubdtype(self._logits["dtype"], np.floating):
            return 0.0
        return float(max(self._logits["quantization_parameters"]["scales"], default=0.0))

    def run(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Runs the file on an image [1, H, W, bands], which `as_input` converts.

        Returns:
            Labels, integers [1, H, W], and logits float32 [1, H, W, C], None if the file gives no
            logits.
        """
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


def open_segmenter(
    path: str | os.PathLike, image_format: "ImageFormat | None" = None
) -> LiteRTSegmenter:
    """Opens a LiteRT segmentation file of any origin.

    Args:
        path: the file.
        image_format: the images that a file of ours takes; None is a file of RGB by anyone.

    Raises:
        DeeplabError: the file does not exist, is damaged, or does not map one image
            [1, H, W, bands], of one size or of any, to logits [1, H, W, C] or labels [1, H, W] of
            the image's size.
    """
    path = pathlib.Path(path)
    interpreter = open_interpreter(path)
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    # Only the signature has -1 for an open side.
    image = tuple(int(n) for n in inputs[0]["shape_signature"])
    shapes = [tuple(int(n) for n in output["shape_signature"]) for output in outputs]
    labels = [output for output, shape in zip(outputs, shapes, strict=True) if shape == image[:3]]
    logits = [
        output
        for output, shape in zip(outputs, shapes, strict=True)
        if len(shape) == 4 and shape[:3] == image[:3]
    ]
    dtype = np.dtype(inputs[0]["dtype"]).name
    bands, dtypes = 3, ("float32", "uint8", "int8")
    if image_format is not None and not image_format.is_rgb:
        bands, dtypes = image_format.bands, (image_format.dtype.name,)
    if (
        len(inputs) > 1
        or len(image) != 4
        or image[::3] != (1, bands)
        or dtype not in dtypes
        or len(labels) > 1
        or len(logits) > 1
        or not labels + logits
        or any(not 2 <= int(output["shape"][-1]) <= 255 for output in logits)
        or min(image[1:3]) < 0 < max(image[1:3])
    ):
        raise DeeplabError(
            f"LiteRT file {path} must map one image [1, H, W, {bands}] ({' or '.join(dtypes)}) to "
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


def run_on_zeros(path: pathlib.Path, size: tuple[int, int]) -> None:
    """Runs a LiteRT file once, on an image of zeros that has `size` where the file takes any."""
    interpreter = open_interpreter(path)
    details = interpreter.get_input_details()[0]
    shape = [int(n) for n in details["shape_signature"]]
    if min(shape[1:3]) < 0:
        shape[1:3] = size
        interpreter.resize_tensor_input(details["index"], shape)
        interpreter.allocate_tensors()
    interpreter.set_tensor(details["index"], np.zeros(shape, details["dtype"]))
    interpreter.invoke()


def _classes_before_argmax(path: pathlib.Path) -> int | None:
    """Returns the channels that the file's last ARG_MAX takes; None without an ARG_MAX."""
    interpreter = open_interpreter(path, delegates=False)
    shapes = {t["index"]: t["shape"] for t in interpreter.get_tensor_details()}
    for operation in reversed(interpreter._get_ops_details()):
        if operation["op_name"] == "ARG_MAX":
            return int(shapes[operation["inputs"][0]][-1])
    return None
