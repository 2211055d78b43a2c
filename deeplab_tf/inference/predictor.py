"""One way to predict with every kind of artefact.

The kinds are workdir, `.keras` file, SavedModel, LiteRT file and ONNX file.
"""

import dataclasses
import functools
import io
import os
import pathlib
import zipfile
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from deeplab_tf.artefacts.description import DESCRIPTION, parse_description
from deeplab_tf.artefacts.litert import LiteRTSegmenter, open_segmenter
from deeplab_tf.artefacts.onnx import open_onnx
from deeplab_tf.artefacts.saved_model import (
    SAVED_MODEL_FILE,
    SIGNATURE,
    open_saved_model,
)
from deeplab_tf.artefacts.trained_model import TrainedModel, load_model
from deeplab_tf.config import EvaluateConfig, Experiment
from deeplab_tf.config.image_format import RGB, ImageFormat
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import Classes, classes_by_number
from deeplab_tf.images.confidence import confident, confident_by_scores
from deeplab_tf.images.frame import predict_in_frame
from deeplab_tf.images.resampling import enlarge_labels
from deeplab_tf.inference.strategies import Strategy, in_parts, resolve_evaluate_config
from deeplab_tf.inference.windows import spans
from deeplab_tf.inference.working_size import (
    ANY_SIZE,
    Enlarge,
    Look,
    WorkingSize,
    at_working_size,
    noting,
    once,
    working_size_of,
    working_size_of_saved_model,
)

FILE_SUFFIXES = (".tflite", ".onnx")
FOREIGN_MEAN = np.full(3, 128, np.uint8)
"""The pixel that a network of others is assumed to see as zero, next to the middle of 0..255."""


@dataclasses.dataclass(frozen=True)
class Predictor:
    """A model as a function from images to labels.

    Attributes:
        classes: the model's classes; for an artefact of others, a guess by their number.
        predict: a function from images of `image_format`, [B, H, W, bands] of any size, to labels,
            uint8 [B, H, W].
        image_format: the images that `predict` takes.
        experiment: the experiment that the artefact was trained by; None for one of others.
        at_once: the number of threads that may call `predict` together and gain by it.
        working: the sizes at which the network sees images.
        row_spans: a function from the height of an image to the (start, end, first, last) of rows,
            as `spans` gives them: `predict` of the rows from start to end decides those from first
            to last as `predict` of the whole image does. None where `predict` needs whole images.
        predict_confident: a function like `predict` that gives `CONFIDENT` [B, H, W], each label
            with its confidence. None where the artefact gives labels and no scores.
    """

    classes: Classes
    predict: Callable[[np.ndarray], np.ndarray]
    image_format: ImageFormat = RGB
    experiment: Experiment | None = None
    at_once: int = 1
    working: WorkingSize = ANY_SIZE
    row_spans: Callable[[int], list[tuple[int, int, int, int]]] | None = None
    predict_confident: Callable[[np.ndarray], np.ndarray] | None = None


def trained_predictor(
    trained: TrainedModel,
    evaluate_config: EvaluateConfig,
    report: Callable[[str], None] = print,
) -> Predictor:
    """Returns a predictor of a Keras model by the inference strategy of `evaluate_config`.

    `report` gets one line at the first image that is larger than those of the training.
    """
    working = working_size_of(trained.experiment, evaluate_config)
    # Both functions read one network.
    strategy, note = Strategy(trained, evaluate_config), once(report)
    return Predictor(
        trained.classes,
        strategy.labels(note),
        trained.image_format,
        trained.experiment,
        working=working,
        row_spans=_row_spans(trained.experiment, evaluate_config, working),
        predict_confident=strategy.confident_labels(note),
    )


def _row_spans(
    experiment: Experiment, evaluate_config: EvaluateConfig, working: WorkingSize
) -> Callable[[int], list[tuple[int, int, int, int]]] | None:
    """Returns `Predictor.row_spans` of a Keras model: those of windows."""
    window = evaluate_config.window
    # Padding and shrinking would see the height of the rows instead of the image's.
    if window is None or evaluate_config.pad_to or working != ANY_SIZE:
        return None
    stride = evaluate_config.output_stride or experiment.model.output_stride
    return functools.partial(spans, window=window, output_stride=stride)


def check_rgb(predictor: Predictor) -> None:
    """Raises `DeeplabError` where the model takes other images than RGB of 8 bits.

    Videos and streams are RGB of 8 bits.
    """
    image_format = predictor.image_format
    if not image_format.is_rgb:
        raise DeeplabError(
            f"a video or a stream is RGB of 8 bits, and this model takes "
            f"{image_format}; give it image files"
        )


def is_exported(path: pathlib.Path) -> bool:
    """Returns whether `path` is an exported artefact: a SavedModel, a LiteRT or an ONNX file."""
    return (path / SAVED_MODEL_FILE).is_file() or (path.suffix in FILE_SUFFIXES and path.is_file())


def fixed_inference(path: pathlib.Path, options: Sequence[str]) -> DeeplabError:
    """Returns the error for `options` of inference that the exported artefact at `path` refuses."""
    return DeeplabError(
        f"{path} is an exported model, whose inference is fixed: {', '.join(options)} needs a "
        "workdir or a .keras file"
    )


def with_classes_of(predictor: Predictor, classes: Classes) -> Predictor:
    """Returns the predictor of a model of others, which does not name its classes, with `classes`.

    Raises:
        DeeplabError: the model has another number of classes.
    """
    if predictor.classes.num_classes != classes.num_classes:
        raise DeeplabError(
            f"the model must have the {classes.num_classes} classes of the data set "
            f"{classes.dataset}. Received: {predictor.classes.num_classes} classes"
        )
    return dataclasses.replace(predictor, classes=classes)


def load_predictor(
    path: str | os.PathLike, report: Callable[[str], None] = print, **overrides
) -> Predictor:
    """Loads a predictor from an artefact.

    The artefact is a workdir, a `.keras` or `.onnx` file or a SavedModel folder of ours, or
    anyone's `.tflite` file.

    Args:
        path: the artefact.
        report: gets a line for each broken checkpoint of a workdir that is passed over, one on
            which weights are taken where the training of the workdir keeps the best, and one at the
            first image that is larger than those of the training.
        overrides: fields of `EvaluateConfig`, where the artefact is a Keras model (workdir or
            `.keras`); None takes the value of the experiment's `evaluate` section. A SavedModel, a
            LiteRT and an ONNX file have their inference fixed and take only `working_size`.

    Raises:
        DeeplabError: `path` is no such artefact, is damaged, or cannot take the options.
    """
    path = pathlib.Path(path)
    if not is_exported(path):
        trained = load_model(path, report)
        evaluate_config = resolve_evaluate_config(trained.experiment, **overrides)
        return trained_predictor(trained, evaluate_config, report)
    working_size = overrides.pop("working_size", None)
    given = [f"--{name}" for name, value in overrides.items() if value is not None]
    if given:
        raise fixed_inference(path, given)
    if path.suffix == ".onnx":
        opened, working = _onnx_predictor(path, working_size)
    elif path.is_file():
        opened, working = _litert_predictor(path, working_size)
    else:
        opened, working = _saved_model_predictor(path, working_size)
    note = once(report)
    confident = opened.predict_confident
    return dataclasses.replace(
        opened,
        predict=noting(opened.predict, working, note),
        predict_confident=noting(confident, working, note) if confident else None,
        working=working,
    )


def _working_size(experiment: Experiment | None, given: int | None) -> WorkingSize:
    """Returns the working size of an exported artefact; `experiment` is None for one of others."""
    if experiment is None:
        return WorkingSize(given or None)
    return working_size_of(experiment, resolve_evaluate_config(experiment, working_size=given))


def _saved_model_predictor(
    folder: pathlib.Path, working_size: int | None
) -> tuple[Predictor, WorkingSize]:
    loaded, experiment, classes = open_saved_model(folder)
    working = working_size_of_saved_model(loaded, folder, experiment, working_size)
    serve = loaded.signatures[SIGNATURE]

    def predict(images: np.ndarray) -> np.ndarray:
        # The assert keeps `loaded` alive: it holds the variables that the signature reads.
        assert loaded is not None
        return serve(images=tf.constant(images))["labels"].numpy().astype(np.uint8)

    def predict_confident(images: np.ndarray) -> np.ndarray:
        assert loaded is not None
        found = serve(images=tf.constant(images))
        return confident(found["labels"].numpy(), found["confidence"].numpy())

    scale = max(experiment.evaluate.scales)
    # SavedModels of earlier versions give labels only.
    sure = in_parts(predict_confident, scale) if "confidence" in serve.structured_outputs else None
    image_format = experiment.model.input_format
    return Predictor(
        classes, in_parts(predict, scale), image_format, experiment, predict_confident=sure
    ), working


def _onnx_predictor(path: pathlib.Path, working_size: int | None) -> tuple[Predictor, WorkingSize]:
    segmenter = open_onnx(path)
    if DESCRIPTION not in segmenter.metadata:
        raise DeeplabError(
            f"ONNX file {path} has no {DESCRIPTION} in its metadata: it was not written by "
            "deeplab-export"
        )
    text = segmenter.metadata[DESCRIPTION]
    experiment, classes = parse_description(text, f"ONNX file {path}")
    working = _working_size(experiment, working_size)
    predict = in_parts(lambda images: segmenter.run(images)[0])
    predict = at_working_size(predict, segmenter.run, working.longest)
    sure = None
    if segmenter.gives_logits:
        sure = at_working_size(
            in_parts(_confident_run(segmenter.run)),
            segmenter.run,
            working.longest,
            confident_by_scores,
        )
    return Predictor(classes, predict, RGB, experiment, predict_confident=sure), working


def _confident_run(run: Look) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from images to `CONFIDENT` by a file's labels and logits."""

    def predict_confident(images: np.ndarray) -> np.ndarray:
        return confident_by_scores(*run(images), (images.shape[1], images.shape[2]))

    return predict_confident


def _litert_predictor(
    path: pathlib.Path, working_size: int | None
) -> tuple[Predictor, WorkingSize]:
    description = _litert_description(path)
    segmenter = open_segmenter(path)
    if description is None:
        experiment, classes, fill = None, _classes_by_number(segmenter), FOREIGN_MEAN
    else:
        experiment, classes = description
        fill = np.round(experiment.model.input_format.mean).astype(np.uint8)
    working = dataclasses.replace(_working_size(experiment, working_size), frame=segmenter.size)
    predict_open = at_working_size(
        lambda images: segmenter.run(images)[0].astype(np.uint8), segmenter.run, working.longest
    )

    confident_open = at_working_size(
        _confident_run(segmenter.run), segmenter.run, working.longest, confident_by_scores
    )

    # A LiteRT file takes one image at a time.
    def one_by_one(
        predict_any_size: Callable[[np.ndarray], np.ndarray], enlarge: Enlarge
    ) -> Callable[[np.ndarray], np.ndarray]:
        def predict_one(image: np.ndarray) -> np.ndarray:
            if segmenter.size is None:
                return predict_any_size(image[None])[0]
            arguments = image, segmenter.size, fill, segmenter.run, working.longest
            return predict_in_frame(*arguments, enlarge)

        return lambda images: np.stack([predict_one(image) for image in images])

    sure = one_by_one(confident_open, confident_by_scores) if segmenter.gives_logits else None
    predict = one_by_one(predict_open, enlarge_labels)
    return Predictor(classes, predict, RGB, experiment, predict_confident=sure), working


def _litert_description(path: pathlib.Path) -> tuple[Experiment, Classes] | None:
    """Returns the description in a LiteRT file of ours; None for a file of others."""
    content = path.read_bytes()
    if DESCRIPTION.encode() not in content:
        return None
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            text = archive.read(DESCRIPTION)
    except (zipfile.BadZipFile, KeyError) as error:
        raise DeeplabError(
            f"LiteRT file {path} is cut off: its {DESCRIPTION} is not whole"
        ) from error
    return parse_description(text, f"LiteRT file {path}")


def _classes_by_number(segmenter: LiteRTSegmenter) -> Classes:
    """Returns the classes of a file of others, which names none: VOC's where there are 21."""
    if segmenter.num_classes is None:
        raise DeeplabError(
            f"LiteRT file {segmenter.path} must give logits, or labels by an ARG_MAX: nothing else "
            "shows the number of classes. Received: labels without an ARG_MAX"
        )
    return classes_by_number(segmenter.num_classes)
