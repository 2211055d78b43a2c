"""The files of an evaluation beside its report: figures, confusion matrix, figures by image.

Tested in tests/evaluation/test_evaluate.py.
"""

import csv
import dataclasses
import pathlib

from deeplab_tf.evaluation.boundary import mean_of_present
from deeplab_tf.evaluation.evaluation import Evaluation
from deeplab_tf.evaluation.image_tables import (
    BY_CLASS_FILE,
    IMAGES_FILE,
    is_by_class,
    is_images,
    write_by_class,
    write_images,
)
from deeplab_tf.evaluation.object_sizes import of_all_objects, sizes_to_json
from deeplab_tf.files import check_file, containing, json_text, json_with, whole_file, write_text
from deeplab_tf.images.classes import Classes
from deeplab_tf.runs.workdir import EVAL_FILE

MATRIX_FILE = "confusion_matrix.csv"
CORNER = "truth \\ prediction"
"""The first cell of the matrix file."""
is_matrix = containing(CORNER.encode())
"""Recognises a matrix file."""
is_eval = json_with("mean_iou", "classes", "images")
"""Recognises an `EVAL_FILE`."""
RESULTS = {
    EVAL_FILE: is_eval,
    MATRIX_FILE: is_matrix,
    IMAGES_FILE: is_images,
    BY_CLASS_FILE: is_by_class,
}
"""The files that `write_results` writes, and what recognises them."""


def check_results_replaceable(folder: pathlib.Path) -> None:
    """Raises `DeeplabError` where `write_results` would replace what no evaluation wrote."""
    for name, ours in RESULTS.items():
        check_file(folder / name, ours)


def write_results(
    evaluation: Evaluation, classes: Classes, facts: dict, folder: pathlib.Path
) -> None:
    """Writes the files of `RESULTS` into `folder`, `eval.json` last.

    Args:
        evaluation: the results.
        classes: the classes of the matrix.
        facts: the other entries of `eval.json`: data set, settings, checkpoint.
        folder: the folder of the results, made if absent.
    """
    with whole_file(folder / MATRIX_FILE, is_matrix) as path:
        _write_matrix(evaluation, classes, path)
    with whole_file(folder / IMAGES_FILE, is_images) as path:
        write_images(evaluation.by_image, classes.names, path)
    with whole_file(folder / BY_CLASS_FILE, is_by_class) as path:
        write_by_class(evaluation.by_image, classes.names, path)
    text = json_text({**facts, **figures(evaluation, classes)})
    write_text(folder / EVAL_FILE, text, is_eval)


def figures(evaluation: Evaluation, classes: Classes) -> dict:
    """Returns the entries of `eval.json` that are results, in plain JSON types."""
    scores, boundary = evaluation.scores, evaluation.boundary_iou
    content = {"images": evaluation.images, **scores.summary()}
    by_class = []
    for class_id, (name, score) in enumerate(zip(classes.names, scores.classes, strict=True)):
        entry = {
            "name": name,
            **dataclasses.asdict(score),
            "recall": score.accuracy,  # the name that readers of precision look for
            "precision": score.precision,
            "dice": score.dice,
        }
        if boundary is not None:
            entry["boundary_iou"] = boundary[class_id]
        if evaluation.sizes is not None:
            entry["objects"] = sizes_to_json(evaluation.sizes[class_id])
        by_class.append(entry)
    content["classes"] = by_class
    if boundary is not None:
        content["mean_boundary_iou"] = mean_of_present(boundary)
    if evaluation.sizes is not None:
        content["objects"] = sizes_to_json(of_all_objects(evaluation.sizes, classes))
    if evaluation.calibration is not None:
        content["calibration"] = evaluation.calibration.to_json()
    return content


def _write_matrix(evaluation: Evaluation, classes: Classes, path: pathlib.Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([CORNER, *classes.names])
        for name, row in zip(classes.names, evaluation.matrix.tolist(), strict=True):
            writer.writerow([name, *row])
