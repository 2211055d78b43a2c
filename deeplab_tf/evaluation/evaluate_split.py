"""The evaluation of a model on a split, each image at its own size, as one confusion matrix.

Tested in tests/evaluation/test_evaluate.py.
"""

import csv
import dataclasses
import pathlib

import numpy as np
import tqdm

from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.data.pipeline import labelled_images
from deeplab_tf.data.records import Records, SplitFiles
from deeplab_tf.distributed.processes import Workers
from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import containing, json_text, json_with, whole_file, write_text
from deeplab_tf.images.classes import Classes, check_same_classes
from deeplab_tf.images.confusion import Scores
from deeplab_tf.images.formats import view_rgb
from deeplab_tf.inference.examples import count_examples
from deeplab_tf.inference.predictor import Predictor
from deeplab_tf.runs.workdir import EVAL_FILE

MATRIX_FILE = "confusion_matrix.csv"
CORNER = "truth \\ prediction"
"""The first cell of the matrix file."""
is_matrix = containing(CORNER.encode())
"""Recognises a matrix file."""
is_eval = json_with("mean_iou", "classes", "images")
"""Recognises an `EVAL_FILE`."""
SAMPLES = 8
"""The number of examples that are kept for the report."""

ALONE = Workers()


@dataclasses.dataclass(frozen=True)
class Sample:
    """One example for the report.

    Attributes:
        name: the id of the example.
        image: a picture to look at, uint8 [H, W, 3].
        mask, labels: the ground truth and the prediction, uint8 [H, W].
    """

    name: str
    image: np.ndarray
    mask: np.ndarray
    labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    Attributes:
        matrix: int64 [C, C] over all images; rows are true classes, columns predicted classes.
        images: the number of images.
        samples: up to `SAMPLES` examples, spread over the split.
    """

    matrix: np.ndarray
    images: int
    samples: tuple[Sample, ...]

    @property
    def scores(self) -> Scores:
        """Returns the figures of `matrix`."""
        return Scores.from_matrix(self.matrix)


def evaluate_split(
    predictor: Predictor, records: Records, split_name: str, workers: Workers = ALONE
) -> Evaluation:
    """Evaluates `predictor` on the split `split_name` of `records`.

    Images are dealt out over `workers`. All workers must call this function; each gets the matrix
    of all images, and samples of its own images. Progress is shown on stderr where stderr is a
    terminal.

    Raises:
        DeeplabError: the data set has other classes, another image format or no such split, or a
            file is corrupt.
    """
    split = check_data(predictor, records, split_name)
    classes = predictor.classes.num_classes
    matrix = np.zeros((classes, classes), np.int64)
    own = len(range(workers.index, split.num_examples, workers.count))
    keep = set(np.linspace(0, own - 1, SAMPLES).round().astype(int).tolist())
    samples, images = [], 0

    examples = labelled_images(split, workers.index, workers.count)
    counted = count_examples(
        lambda image, _mask: (predictor.predict(image[None])[0], None),
        examples,
        classes,
        predictor.at_once,
    )
    for each in tqdm.tqdm(counted, total=own, desc="evaluate", unit="image", disable=None):
        matrix += each.matrix
        if images in keep:
            picture = view_rgb(each.image, records.image_format)
            samples.append(Sample(each.name, picture, each.mask, each.labels))
        images += 1
    return Evaluation(workers.sum(matrix), int(workers.sum(images)), tuple(samples))


def check_data(predictor: Predictor, records: Records, split_name: str) -> SplitFiles:
    """Returns the split; raises `DeeplabError` where it is missing or does not fit the model."""
    check_same_classes(predictor.classes, records.classes)
    check_same_format(predictor.image_format, records.image_format)
    return records.labelled_split(split_name)


def check_same_format(model: ImageFormat, data: ImageFormat) -> None:
    """Raises `DeeplabError` where the model takes other bands or bits than the data set has."""
    if (model.bands, model.bits) != (data.bands, data.bits):
        raise DeeplabError(f"the model takes images of {model}, and the data set has {data}")


def write_results(
    evaluation: Evaluation, classes: Classes, facts: dict, folder: pathlib.Path
) -> None:
    """Writes `eval.json` and `confusion_matrix.csv` (with class names as heads) into `folder`.

    Args:
        evaluation: the results.
        classes: the classes of the matrix.
        facts: the other entries of `eval.json`: data set, settings, checkpoint.
        folder: the folder of the results, made if absent.
    """
    with whole_file(folder / MATRIX_FILE, is_matrix) as path:
        _write_matrix(evaluation.matrix, classes, path)
    scores = evaluation.scores
    by_class = [
        {"name": name, **dataclasses.asdict(score)}
        for name, score in zip(classes.names, scores.classes, strict=True)
    ]
    content = {**facts, "images": evaluation.images, **scores.summary(), "classes": by_class}
    text = json_text(content)
    write_text(folder / EVAL_FILE, text, is_eval)


def _write_matrix(matrix: np.ndarray, classes: Classes, path: pathlib.Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([CORNER, *classes.names])
        for name, row in zip(classes.names, matrix.tolist(), strict=True):
            writer.writerow([name, *row])
