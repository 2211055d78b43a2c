"""OpenVINO models of `deeplab-export`, opened as functions from pixels to labels on the CPU.

Tested in tests/export/test_openvino.py.
"""

import dataclasses
import hashlib
import os
import pathlib
import sys
import threading
from typing import Any

import numpy as np

from deeplab_tf.artefacts.onnx import labels_and_logits
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.machine.system import usable_cores

MODEL_FILE, WEIGHTS_FILE = "model.xml", "model.bin"
"""The two files of a model, in one folder, under the names that OpenVINO Model Server expects."""
DESCRIPTION = "deeplab_tf.json"
"""The entry of the model's `rt_info` with the description."""
WEIGHTS_DIGEST = "weights_sha256"
"""The entry with the SHA-256 of the weights' file, in hexadecimal digits."""


def import_openvino() -> Any:
    """Returns the module `openvino`, which reports nothing to its makers.

    OpenVINO's converter and NNCF otherwise send what they did to a host of Intel's, and keep a
    number of this user, unless someone has told them not to. They do report where the program has
    imported `openvino` before.

    Raises:
        ModuleNotFoundError: OpenVINO is not installed.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # pyright: ignore[reportArgumentType]
    import openvino

    return openvino


def is_openvino(path: pathlib.Path) -> bool:
    """Returns whether `path` is the folder of an OpenVINO model, or its `.xml` file."""
    return path.is_file() if path.suffix == ".xml" else (path / MODEL_FILE).is_file()


def compile_for_cpu(model: Any) -> Any:
    """Returns a `Model` of OpenVINO, or the path of a file, compiled to compute in float32."""
    settings = {
        # OpenVINO's default is bfloat16 where the CPU has it: other labels on another machine.
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": usable_cores(),
    }
    return import_openvino().Core().compile_model(model, "CPU", settings)


@dataclasses.dataclass(frozen=True)
class OpenVINOSegmenter:
    """An OpenVINO model as a function from images to labels or logits of the images' size.

    Attributes:
        path: the path of the `.xml` file.
        description: the text that `describe` wrote; None for a model of others.
    """

    path: pathlib.Path
    description: str | None
    _compiled: Any
    _lock: Any = dataclasses.field(default_factory=threading.Lock)

    @property
    def gives_logits(self) -> bool:
        """Returns whether `run` gives logits."""
        return "logits" in _names(self._compiled.outputs)

    def blank(self, size: tuple[int, int]) -> np.ndarray:
        """Returns an image of zeros, [1, *size, bands], in the model's own dtype."""
        (taken,) = self._compiled.inputs
        bands = taken.partial_shape[3].get_length()
        return np.zeros((1, *size, bands), taken.element_type.to_dtype())

    def run(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Runs the model on images [B, H, W, bands] in the model's own dtype.

        Returns:
            Labels uint8 [B, H, W], and logits float32 [B, H, W, C], None if the model gives no
            logits.
        """
        with self._lock:  # the memory of one run is kept for the next
            answer = self._compiled(np.ascontiguousarray(images))
        return labels_and_logits({name: answer[name] for name in _names(self._compiled.outputs)})


def open_openvino(path: str | os.PathLike) -> OpenVINOSegmenter:
    """Opens an OpenVINO model that `deeplab-export` wrote, its folder or its `.xml` file.

    Raises:
        DeeplabError: OpenVINO is not installed, or the model does not exist, is damaged, has
            another model's weights beside it, or does not map `images` to `labels` or `logits`.
    """
    try:
        openvino = import_openvino()
    except ModuleNotFoundError as error:
        raise DeeplabError("OpenVINO models need OpenVINO: pip install openvino") from error
    path = pathlib.Path(path)
    path = path if path.suffix == ".xml" else path / MODEL_FILE
    if not path.is_file():
        raise DeeplabError(f"OpenVINO model {path} does not exist")
    try:
        model = openvino.Core().read_model(path)
        _check_weights(model, path)
        compiled = compile_for_cpu(model)
    except RuntimeError as error:
        raise DeeplabError(
            f"OpenVINO model {path} is damaged, or its {path.with_suffix('.bin').name} is not "
            f"beside it: {one_line(str(error))[:200]}"
        ) from error
    inputs, outputs = _names(compiled.inputs), _names(compiled.outputs)
    if inputs != ["images"] or not outputs or not {"labels", "logits"}.issuperset(outputs):
        raise DeeplabError(
            f"OpenVINO model {path} must map images to labels, logits or both, as deeplab-export "
            f"writes it. Received: {', '.join(inputs)} to {', '.join(outputs)}"
        )
    described = model.has_rt_info([DESCRIPTION])
    text = model.get_rt_info([DESCRIPTION]).astype(str) if described else None
    return OpenVINOSegmenter(path, text, compiled)


def digest_of(weights: pathlib.Path) -> str:
    """Returns the SHA-256 of a file of weights, in hexadecimal digits."""
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_weights(model: Any, path: pathlib.Path) -> None:
    """Raises `DeeplabError` where the weights are not those that the `.xml` file was written with.

    OpenVINO finds the numbers by their offset, so that another model's weights of the same size
    would be taken. A model of others says nothing of its weights.
    """
    if not model.has_rt_info([WEIGHTS_DIGEST]):
        return
    weights = path.with_suffix(".bin")
    if digest_of(weights) != model.get_rt_info([WEIGHTS_DIGEST]).astype(str):
        raise DeeplabError(
            f"{weights} is not the file that OpenVINO model {path} was written with; copy both "
            "files of the export"
        )


def _names(ports: Any) -> list[str]:
    """Returns the names of inputs or outputs; a foreign one may have none."""
    return [min(port.names, default="?") for port in ports]
