"""The latency, peak memory and size of a folder's artefacts, next to those of the Keras model."""

import dataclasses
import pathlib
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np

from deeplab_tf.artefacts.best import weight_files
from deeplab_tf.artefacts.litert import open_segmenter
from deeplab_tf.artefacts.openvino import MODEL_FILE
from deeplab_tf.artefacts.saved_model import SAVED_MODEL_FILE
from deeplab_tf.errors import DeeplabError
from deeplab_tf.inference.predictor import is_exported, load_predictor
from deeplab_tf.text_table import align

from .peak_memory import peak_memory

WARM_UP, ROUNDS = 3, 20
"""How often each artefact runs before the clock counts, and how often while it counts."""


@dataclasses.dataclass(frozen=True)
class ArtefactFigures:
    """The figures of one artefact.

    Attributes:
        path: the path of the artefact.
        size: (height, width) of the image.
        seconds: the time from one image's pixels to its labels, one number for each round.
        peak_bytes: the peak memory of a process of its own that labels one image, its libraries
            included; None where the system does not report it.
        size_bytes: the size of the artefact's files.
    """

    path: pathlib.Path
    size: tuple[int, int]
    seconds: tuple[float, ...]
    peak_bytes: int | None
    size_bytes: int


def measure_artefacts(
    model: pathlib.Path, folder: pathlib.Path, size: tuple[int, int]
) -> list[ArtefactFigures]:
    """Measures the Keras model and the artefacts of `folder`, on one image each.

    Each round runs every artefact once, so that other load on the machine meets all alike.

    Args:
        model: a `.keras` file or a workdir.
        folder: a SavedModel or an OpenVINO model, or a folder with some of these, `.tflite` files
            or `.onnx` files.
        size: (height, width) of the image; a LiteRT file that takes one size only gets that size.

    Raises:
        DeeplabError: `folder` has no artefact, or one does not run.
    """
    paths = [model, *find_artefacts(folder)]
    sizes = [_size(path) or size for path in paths]
    seconds = _in_turns([_labeller(path, at) for path, at in zip(paths, sizes, strict=True)])
    return [
        ArtefactFigures(path, at, tuple(times), peak_memory(path, at), _bytes(path))
        for path, at, times in zip(paths, sizes, seconds, strict=True)
    ]


def find_artefacts(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the LiteRT and ONNX files in `folder`, and the folders of SavedModels and OpenVINO
    models at or below `folder`.

    Raises:
        DeeplabError: there is no artefact.
    """
    marks = (SAVED_MODEL_FILE, MODEL_FILE)
    saved = [file.parent for mark in marks for file in folder.glob(f"**/{mark}")]
    found = sorted([*saved, *folder.glob("*.tflite"), *folder.glob("*.onnx")])
    if not found:
        raise DeeplabError(
            f"--out={folder} has no artefact to measure; write one with deeplab-export"
        )
    return found


def format_measured(measured: Sequence[ArtefactFigures]) -> str:
    """Returns a table, in which the speeds are relative to the first row."""
    first = statistics.median(measured[0].seconds)
    rows = [["", "image", "median ms", "least", "most", "speed", "peak MB", "file MB"]]
    for one in measured:
        median = statistics.median(one.seconds)
        rows.append(
            [
                one.path.name,
                "x".join(map(str, one.size)),
                *(f"{1e3 * s:.1f}" for s in (median, min(one.seconds), max(one.seconds))),
                f"{first / median:.2f}",
                "-" if one.peak_bytes is None else f"{one.peak_bytes / 1e6:.0f}",
                f"{one.size_bytes / 1e6:.1f}",
            ]
        )
    return align(rows)


def _in_turns(runs: Sequence[Callable[[], object]]) -> list[list[float]]:
    """Returns the seconds of `ROUNDS` runs of each function, warm."""
    for run in runs:
        for _ in range(WARM_UP):
            run()
    seconds: list[list[float]] = [[] for _ in runs]
    for _ in range(ROUNDS):
        for run, times in zip(runs, seconds, strict=True):
            begin = time.perf_counter()
            run()
            times.append(time.perf_counter() - begin)
    return seconds


def _labeller(path: pathlib.Path, size: tuple[int, int]) -> Callable[[], np.ndarray]:
    """Returns a function that labels one image of noise, as `deeplab-predict` does."""
    predictor = load_predictor(path)
    takes = predictor.image_format
    most = 1 if takes.dtype.kind == "f" else 1 << takes.bits
    noise = np.random.default_rng(0).random((1, *size, takes.bands))
    image = (noise * most).astype(takes.dtype)
    return lambda: predictor.predict(image)


def _size(path: pathlib.Path) -> tuple[int, int] | None:
    """Returns the only size that a LiteRT file takes; None where an artefact takes any."""
    return open_segmenter(path).size if path.suffix == ".tflite" else None


def _bytes(path: pathlib.Path) -> int:
    """Returns the size of a file, a SavedModel, or the weights of a workdir.

    A workdir's checkpoint has the momentum too.
    """
    if path.is_file():
        return path.stat().st_size
    files = path.rglob("*") if is_exported(path) else weight_files(path)
    return sum(file.stat().st_size for file in files if file.is_file())
