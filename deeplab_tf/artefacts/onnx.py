"""ONNX segmentation files, opened by ONNX Runtime as functions from pixels to labels."""

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np

from deeplab_tf.errors import DeeplabError, one_line

FATAL = 4
"""The log level of ONNX Runtime at which its errors come only as exceptions."""

DTYPES = {"tensor(uint8)": np.uint8, "tensor(uint16)": np.uint16, "tensor(float)": np.float32}
"""The dtypes of images, by ONNX Runtime's names."""


@dataclasses.dataclass(frozen=True)
class OnnxSegmenter:
    """An ONNX file as a function from images to labels or logits of the images' size.

    Attributes:
        path: the path of the file.
        metadata: the file's `metadata_props`.
    """

    path: pathlib.Path
    metadata: dict[str, str]
    _session: Any

    @property
    def gives_logits(self) -> bool:
        """Returns whether `run` gives logits."""
        return any(output.name == "logits" for output in self._session.get_outputs())

    def blank(self, size: tuple[int, int]) -> np.ndarray:
        """Returns an image of zeros, [1, *size, bands], in the file's own dtype."""
        (value,) = self._session.get_inputs()
        return np.zeros((1, *size, value.shape[-1]), DTYPES[value.type])

    def run(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Runs the file on images [B, H, W, bands] in the file's own dtype.

        Returns:
            Labels uint8 [B, H, W], and logits float32 [B, H, W, C], None if the file gives no
            logits.
        """
        names = [output.name for output in self._session.get_outputs()]
        values = self._session.run(names, {"images": images})
        return labels_and_logits(dict(zip(names, values, strict=True)))


def labels_and_logits(answer: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns labels and logits from a file's outputs by name; labels may be the logits' argmax.

    Returns:
        Labels uint8 [B, H, W], and logits float32 [B, H, W, C] or None.
    """
    logits = answer.get("logits")
    if "labels" in answer:
        return answer["labels"], logits
    assert logits is not None
    return logits.argmax(axis=-1).astype(np.uint8), logits


def open_onnx(path: str | os.PathLike) -> OnnxSegmenter:
    """Opens an ONNX file that `deeplab-export` wrote, on the CPU.

    Raises:
        DeeplabError: onnxruntime is not installed, or the file does not exist, is damaged, or does
            not map `images` to `labels` or `logits`.
    """
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as errors
    except ImportError as error:
        raise DeeplabError("ONNX files need ONNX Runtime: pip install onnxruntime") from error
    path = pathlib.Path(path)
    if not path.is_file():
        raise DeeplabError(f"ONNX file {path} does not exist")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except (
        errors.Fail,
        errors.InvalidArgument,
        errors.InvalidGraph,
        errors.InvalidProtobuf,
        errors.NotImplemented,
        errors.RuntimeException,
    ) as error:
        raise DeeplabError(f"ONNX file {path} is damaged: {one_line(str(error))[:200]}") from error
    inputs = [value.name for value in session.get_inputs()]
    outputs = [value.name for value in session.get_outputs()]
    if inputs != ["images"] or not outputs or not {"labels", "logits"}.issuperset(outputs):
        raise DeeplabError(
            f"ONNX file {path} must map images to labels, logits or both, as deeplab-export writes "
            f"it. Received: {', '.join(inputs)} to {', '.join(outputs)}"
        )
    return OnnxSegmenter(path, dict(session.get_modelmeta().custom_metadata_map), session)
