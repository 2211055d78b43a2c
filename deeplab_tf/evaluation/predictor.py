"""One way to predict with every kind of artefact: workdir, `.keras`, SavedModel, LiteRT file."""

import dataclasses
import json
import os
import pathlib
import zipfile
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from PIL import Image

from deeplab_tf.data.image_format import RGB, ImageFormat
from deeplab_tf.data.labels import LabelSet
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.evaluation.inference import image_to_labels, settings_of
from deeplab_tf.files import quiet_stderr
from deeplab_tf.trained_model import DESCRIPTION, image_format, load_model, parse_description

SAVED_MODEL_FILE = "saved_model.pb"
EXTRA_DIR = "assets.extra"
SIGNATURE = "serving_default"


@dataclasses.dataclass(frozen=True)
class Predictor:
    """`predict` maps an image of the format `image`, [H, W, bands] of any size, to its labels,
    uint8 [H, W]."""

    labels: LabelSet
    predict: Callable[[np.ndarray], np.ndarray]
    image: ImageFormat = RGB


def load_predictor(path: str | os.PathLike, **overrides) -> Predictor:
    """Loads a workdir, a `.keras` file, a SavedModel folder or a `.tflite` file of ours.

    Args:
        path: the artefact.
        overrides: fields of `EvaluateConfig`, where the artefact is a Keras model (workdir or
            `.keras`); None takes the `evaluate` section of its experiment. A SavedModel and a
            LiteRT file have their inference fixed.

    Raises:
        DeeplabError: `path` is none of these, is damaged, or cannot take the options.
    """
    path = pathlib.Path(path)
    exported = (path / SAVED_MODEL_FILE).is_file() or path.suffix == ".tflite"
    if not exported or not path.exists():
        trained = load_model(path)
        settings = settings_of(trained.experiment, **overrides)
        return Predictor(trained.labels, image_to_labels(trained, settings), trained.image)
    given = [f"--{name}" for name, value in overrides.items() if value is not None]
    if given:
        raise DeeplabError(
            f"{path} is an exported model, whose inference is fixed: {', '.join(given)} needs a "
            "workdir or a .keras file"
        )
    return _litert_predictor(path) if path.is_file() else _saved_model_predictor(path)


def _saved_model_predictor(folder: pathlib.Path) -> Predictor:
    description = folder / EXTRA_DIR / DESCRIPTION
    if not description.is_file():
        raise DeeplabError(
            f"SavedModel {folder} has no {EXTRA_DIR}/{DESCRIPTION}: it was not written by "
            "deeplab-export"
        )
    experiment, labels = parse_description(description.read_text())
    try:
        loaded = tf.saved_model.load(str(folder))
        serve = loaded.signatures[SIGNATURE]
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise DeeplabError(
            f"SavedModel {folder} is damaged: {one_line(str(error))[:200]}"
        ) from error

    def predict(image: np.ndarray) -> np.ndarray:
        # `loaded` holds the variables that the signature reads.
        assert loaded is not None
        return serve(images=tf.constant(image)[None])["labels"].numpy()[0].astype(np.uint8)

    return Predictor(labels, predict, image_format(experiment.model))


def _litert_predictor(path: pathlib.Path) -> Predictor:
    from ai_edge_litert.interpreter import Interpreter

    try:
        with zipfile.ZipFile(path) as archive:
            fields = json.loads(archive.read(DESCRIPTION))
    except (zipfile.BadZipFile, KeyError) as error:
        raise DeeplabError(
            f"LiteRT file {path} has no {DESCRIPTION} at its end: it is cut off, or was not "
            "written by deeplab-export"
        ) from error
    try:
        with quiet_stderr():
            interpreter = Interpreter(model_path=str(path), num_threads=os.cpu_count())
            interpreter.allocate_tensors()
            runner = interpreter.get_signature_runner(SIGNATURE)
    except (ValueError, RuntimeError) as error:
        raise DeeplabError(
            f"LiteRT file {path} is damaged: {one_line(str(error))[:200]}"
        ) from error
    _, height, width, _ = runner.get_input_details()["images"]["shape"]
    mean = np.round(fields["normalization"]["mean"]).astype(np.uint8)

    def predict(image: np.ndarray) -> np.ndarray:
        return predict_in_frame(
            image, (int(height), int(width)), mean, lambda framed: runner(images=framed)["labels"]
        )

    return Predictor(LabelSet.from_dict(fields["labels"]), predict)


def predict_in_frame(
    image: np.ndarray,
    frame: tuple[int, int],
    fill: np.ndarray,
    run: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Labels of an image of any size from a model of one static size.

    An image that fits is padded at the bottom and the right; a larger one is first shrunk to fit,
    bilinearly and keeping its aspect, and its labels brought back to its size by nearest neighbour.
    A small object of a large image may be lost in that: export with a size that fits the images.

    Args:
        image: uint8 [H, W, 3].
        frame: the static (height, width).
        fill: uint8 [3], the pixel to pad with: the mean, which the network sees as zero.
        run: uint8 [1, height, width, 3] -> integer [1, height, width].

    Returns:
        uint8 [H, W].
    """
    height, width = image.shape[:2]
    shrink = min(1.0, frame[0] / height, frame[1] / width)
    # Rounding may not leave the frame, nor lose the last pixel of a thin image.
    inner = (max(1, int(height * shrink + 1e-6)), max(1, int(width * shrink + 1e-6)))
    if inner != (height, width):
        small = Image.fromarray(image).resize((inner[1], inner[0]), Image.Resampling.BILINEAR)
        image = np.asarray(small)
    framed = np.empty((1, *frame, 3), np.uint8)
    framed[:] = fill
    framed[0, : inner[0], : inner[1]] = image
    labels = run(framed)[0, : inner[0], : inner[1]].astype(np.uint8)
    if inner == (height, width):
        return labels
    whole = Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(whole)
