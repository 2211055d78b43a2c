"""The peak memory of one artefact that labels one image, in a process of its own.

    python -m deeplab_tf.export.peak_memory ARTEFACT HEIGHT WIDTH

This command prints the most bytes that the process ever held, its libraries included.

Tested in tests/export/test_benchmark.py.
"""

import pathlib
import subprocess
import sys

import numpy as np

from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.machine.system import own_peak


def peak_memory(artefact: pathlib.Path, size: tuple[int, int]) -> int | None:
    """Returns the peak in bytes; None where the system does not report the peak of a process.

    Raises:
        DeeplabError: the artefact does not run.
    """
    if own_peak() is None:
        return None
    command = [sys.executable, "-m", __name__, str(artefact), *map(str, size)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DeeplabError(f"{artefact} does not run: {one_line(done.stderr)[-200:]}")
    return int(done.stdout)


def _label(artefact: pathlib.Path, size: tuple[int, int]) -> None:
    """Labels one image once; imports TensorFlow only for artefacts that need it, as on a device."""
    if artefact.suffix == ".tflite":
        from deeplab_tf.artefacts.litert import run_on_zeros

        return run_on_zeros(artefact, size)
    if artefact.suffix == ".onnx":
        from deeplab_tf.artefacts.onnx import open_onnx as open_light
    else:
        from deeplab_tf.artefacts.openvino import is_openvino
        from deeplab_tf.artefacts.openvino import open_openvino as open_light

        if not is_openvino(artefact):
            return _label_by_predictor(artefact, size)
    segmenter = open_light(artefact)
    segmenter.run(segmenter.blank(size))


def _label_by_predictor(artefact: pathlib.Path, size: tuple[int, int]) -> None:
    from deeplab_tf.inference.predictor import load_predictor

    # Standard output holds the figure only, and the process that asks has reported all notes.
    predictor = load_predictor(artefact, report=lambda line: None)
    predictor.predict(
        np.zeros((1, *size, predictor.image_format.bands), predictor.image_format.dtype)
    )


if __name__ == "__main__":
    _label(pathlib.Path(sys.argv[1]), (int(sys.argv[2]), int(sys.argv[3])))
    print(own_peak())
