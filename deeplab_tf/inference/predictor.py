"""One way to predict with every kind of artefact.

The kinds are workdir, `.keras` file, SavedModel, LiteRT file, ONNX file and OpenVINO model.
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
from deeplab_tf.artefacts.onnx import OnnxSegmenter, open_onnx
from deeplab_tf.artefacts.openvino import OpenVINOSegmenter, is_openvino, open_openvino
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
from deeplab_tf.images.frame import into_frame, predict_in_frame
from deeplab_tf.images.scored import ScoreMap
from deeplab_tf.inference.strategies import (
    Strategy,
    gives_logits,
    in_parts,
    resolve_evaluate_config,
)
from deeplab_tf.inference.windows import spans
from deeplab_tf.inference.working_size import (
    ANY_SIZE,
    WorkingSize,
    at_working_size,
    noting,
    once,
    working_size_of,
    working_size_of_saved_model,
)
from deeplab_tf.named import model_path

FILE_SUFFIXES = (".tflite", ".onnx", ".xml")
MOST_OFF = 1e-3
"""How far from 1 the outputs of a softmax in floats may sum up, over the classes of a pixel."""
FOREIGN_MEAN = np.full(3, 128, np.uint8)
"""The pixel that a network of others is assumed to see as zero, next to the middle of 0..255."""


def _no_scores(images: np.ndarray) -> ScoreMap:
    """Raises the `DeeplabError` of a model that gives only labels."""
    raise DeeplabError("the model gives only labels, and no probabilities can be had of them")


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
        scores: a function like `predict` that gives the scores whose largest one is the label; it
            raises `DeeplabError` where the model gives only labels.
        gives_scores: whether `scores` gives any.
    """

    classes: Classes
    predict: Callable[[np.ndarray], np.ndarray]
    image_format: ImageFormat = RGB
    experiment: Experiment | None = None
    at_once: int = 1
    working: WorkingSize = ANY_SIZE
    row_spans: Callable[[int], list[tuple[int, int, int, int]]] | None = None
    scores: Callable[[np.ndarray], ScoreMap] = _no_scores
    gives_scores: bool = False


def trained_predictor(
    trained: TrainedModel,
    evaluate_config: EvaluateConfig,
    report: Callable[[str], None] = print,
) -> Predictor:
    """Returns a predictor of a Keras model by the inference strategy of `evaluate_config`.

    `report` gets one line at the first image that is larger than those of the training.
    """
    working = working_size_of(trained.experiment, evaluate_config)
    strategy, report = Strategy(trained, evaluate_config), once(report)
    return Predictor(
        trained.classes,
        strategy.labels(report),
        trained.image_format,
        trained.experiment,
        working=working,
        row_spans=_row_spans(trained.experiment, evaluate_config, working),
        scores=strategy.scores(report),
        gives_scores=True,
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
    """Returns whether `path` is an exported artefact, of any format of `deeplab-export`."""
    if path.suffix in FILE_SUFFIXES:
        return path.is_file()
    return (path / SAVED_MODEL_FILE).is_file() or is_openvino(path)


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

    The artefact is a workdir, a `.keras` or `.onnx` file or the folder of a SavedModel or of an
    OpenVINO model (or its `.xml` file) of ours, anyone's `.tflite` file, or the name of a published
    model.

    Args:
        path: the artefact, or the name.
        report: gets a line for each broken checkpoint of a workdir that is passed over, one on
            which weights are taken where the training of the workdir keeps the best, one at the
            first image that is larger than those of the training, and those of `model_path`.
        overrides: fields of `EvaluateConfig`, where the artefact is a Keras model (workdir or
            `.keras`); None takes the value of the experiment's `evaluate` section. An exported
            artefact has its inference fixed and takes only `working_size`.

    Raises:
        DeeplabError: `path` is no such artefact, is damaged, or cannot take the options.
    """
    path = model_path(path, report)
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
    elif is_openvino(path):
        opened, working = _openvino_predictor(path, working_size)
    elif path.is_file():
        opened, working = _litert_predictor(path, working_size)
    else:
        opened, working = _saved_model_predictor(path, working_size)
    report = once(report)
    predict, scores = (
        noting(function, working, report) for function in (opened.predict, opened.scores)
    )
    return dataclasses.replace(opened, predict=predict, scores=scores, working=working)


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

    def scores(images: np.ndarray) -> ScoreMap:
        if not hasattr(loaded, "scores"):
            raise DeeplabError(
                f"SavedModel {folder} was written before it gave probabilities; export it again"
            )
        # SavedModels have no CRF: their scores are logits unless several views are averaged.
        evaluate_config = dataclasses.replace(experiment.evaluate, crf=False)
        return ScoreMap(loaded.scores(tf.constant(images)).numpy(), gives_logits(evaluate_config))

    predict_all = in_parts(predict, max(experiment.evaluate.scales))
    image_format = experiment.model.input_format
    opened = Predictor(
        *(classes, predict_all, image_format, experiment),
        scores=scores,
        gives_scores=hasattr(loaded, "scores"),
    )
    return opened, working


def _onnx_predictor(path: pathlib.Path, working_size: int | None) -> tuple[Predictor, WorkingSize]:
    segmenter = open_onnx(path)
    if DESCRIPTION not in segmenter.metadata:
        raise DeeplabError(
            f"ONNX file {path} has no {DESCRIPTION} in its metadata: it was not written by "
            "deeplab-export"
        )
    described = parse_description(segmenter.metadata[DESCRIPTION], f"ONNX file {path}")
    return _open_size_predictor(segmenter, *described, working_size)


def _openvino_predictor(
    path: pathlib.Path, working_size: int | None
) -> tuple[Predictor, WorkingSize]:
    segmenter = open_openvino(path)
    if segmenter.description is None:
        raise DeeplabError(
            f"OpenVINO model {path} has no {DESCRIPTION} in its rt_info: it was not written by "
            "deeplab-export"
        )
    described = parse_description(segmenter.description, f"OpenVINO model {path}")
    return _open_size_predictor(segmenter, *described, working_size)


def _open_size_predictor(
    segmenter: OnnxSegmenter | OpenVINOSegmenter,
    experiment: Experiment,
    classes: Classes,
    working_size: int | None,
) -> tuple[Predictor, WorkingSize]:
    """Returns the predictor of a file that takes images of any number and size."""
    working = _working_size(experiment, working_size)
    predict = in_parts(lambda images: segmenter.run(images)[0])
    predict = at_working_size(predict, segmenter.run, working.longest)

    def scores(images: np.ndarray) -> ScoreMap:
        found = segmenter.run(working.shrunk(images))[1]
        return ScoreMap(_given(segmenter.path, found), are_logits=True)

    opened = Predictor(
        *(classes, predict, experiment.model.input_format, experiment),
        scores=scores,
        gives_scores=segmenter.gives_logits,
    )
    return opened, working


def _given(path: pathlib.Path, found: np.ndarray | None) -> np.ndarray:
    """Returns what a file gave besides labels; raises `DeeplabError` where it is None."""
    if found is None:
        raise DeeplabError(
            f"{path} gives only labels; export it again with --outputs=both, or give a workdir, "
            "a .keras file or a SavedModel"
        )
    return found


def is_softmax(found: np.ndarray, step: float) -> bool:
    """Returns whether a network's outputs are shares of the classes, which sum up to 1.

    Args:
        found: float32 [B, H, W, C].
        step: the distance of neighbouring values where the network gives integers, each rounded
            by half of it, and a share of 1 by a whole one; 0.0 where it gives floats.
    """
    most_off = MOST_OFF + (found.shape[-1] + 1) * step / 2
    return bool(found.min() >= 0 and np.abs(found.sum(axis=-1) - 1).max() <= most_off)


def _litert_predictor(
    path: pathlib.Path, working_size: int | None
) -> tuple[Predictor, WorkingSize]:
    description = _litert_description(path)
    if description is None:
        segmenter, image_format = open_segmenter(path), RGB
        experiment, classes, fill = None, _classes_by_number(segmenter), FOREIGN_MEAN
    else:
        experiment, classes = description
        image_format = experiment.model.input_format
        segmenter, fill = open_segmenter(path, image_format), image_format.mean_pixel
    working = dataclasses.replace(_working_size(experiment, working_size), frame=segmenter.size)
    predict_open = at_working_size(
        lambda images: segmenter.run(images)[0].astype(np.uint8), segmenter.run, working.longest
    )

    def predict_one(image: np.ndarray) -> np.ndarray:
        if segmenter.size is None:
            return predict_open(image[None])[0]
        return predict_in_frame(image, segmenter.size, fill, segmenter.run, working.longest)

    def predict(images: np.ndarray) -> np.ndarray:
        # A LiteRT file takes one image at a time.
        return np.stack([predict_one(image) for image in images])

    # A file of others may end in their softmax, which its outputs of the first image show.
    are_logits: bool | None = None if description is None else True

    def scores(images: np.ndarray) -> ScoreMap:
        nonlocal are_logits
        found = np.concatenate([_given(path, look(image)) for image in images])
        if are_logits is None:
            are_logits = not is_softmax(found[:1], segmenter.logits_step)
        return ScoreMap(found, are_logits)

    def look(image: np.ndarray) -> np.ndarray | None:
        if segmenter.size is not None:
            framed, (height, width) = into_frame(image, segmenter.size, fill, working.longest)
            logits = segmenter.run(framed)[1]
            return None if logits is None else logits[:, :height, :width]
        return segmenter.run(working.shrunk(image[None]))[1]

    opened = Predictor(
        *(classes, predict, image_format, experiment),
        scores=scores,
        gives_scores=segmenter.gives_logits,
    )
    return opened, working


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
