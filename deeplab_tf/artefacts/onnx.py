"""ONNX segmentation files: ONNX Runtime opens one as a function of pixels."""

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np

from deeplab_tf.errors import DeeplabError, one_line

FATAL = 4
"""ONNX Runtime's log level at which its errors come as exceptions alone."""


@dataclasses.dataclass(frozen=True)
class OnnxSegmenter:
    """An ONNX file from images to labels or logits of their size.

    Attributes:
        path: of the file.
        metadata: its `metadata_props`.
    """

    path: pathlib.Path
    metadata: dict[str, str]
    _session: Any

    def run(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """uint8 [B, H, W, 3] -> labels uint8 [B, H, W], and logits float32 [B, H, W, C] if the
        file gives them."""
        names = [output.name for output in self._session.get_outputs()]
        values = self._session.run(names, {"images": images})
        return labels_and_logits(dict(zip(names, values, strict=True)))


def labels_and_logits(answer: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    """What a file answers with, by name; labels are those of the logits where it gives these alone.

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
        DeeplabError: onnxruntime is missing, or the file is, is damaged, or does not map `images`
            to `labels` or `logits`.
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
