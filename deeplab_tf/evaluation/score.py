"""Scores of a folder of predicted label PNGs against a folder of ground truth."""

import pathlib

import numpy as np
import tqdm

from deeplab_tf.data.sources.masks import IndexMask, plain_values
from deeplab_tf.errors import DeeplabError
from deeplab_tf.evaluation.boundary import boundary_counts
from deeplab_tf.images.classes import VOID
from deeplab_tf.images.confusion import confusion_matrix
from deeplab_tf.prediction.inputs import read_names


def score_folders(
    predictions: pathlib.Path,
    ground_truth: pathlib.Path,
    num_classes: int,
    ignore_label: int,
    listed: pathlib.Path | None = None,
) -> tuple[np.ndarray, int, int, np.ndarray]:
    """Scores all pairs of files.

    Args:
        predictions, ground_truth: folders of palette or grey PNGs, paired by file name.
        num_classes: the number of classes, without void.
        ignore_label: the void label of the true files; the predicted files have 255.
        listed: a file of names without suffix, one a line, as in VOC's ImageSets; only these files
            count. None: all files.

    Returns:
        The confusion matrix over all pairs, int64 [C, C], the number of pairs, the number of void
        pixels in the truth, and the sum of `boundary_counts`, int64 [C, 3].

    Raises:
        DeeplabError: a file has no partner, another size, or a label outside the classes.
    """
    names = _listed_names(listed, predictions, ground_truth)
    true_values = plain_values(num_classes, ignore_label)
    predicted_values = plain_values(num_classes, VOID)
    matrix, void_pixels = np.zeros((num_classes, num_classes), np.int64), 0
    boundary = np.zeros((num_classes, 3), np.int64)
    for name in tqdm.tqdm(names, desc="score", unit="image", disable=None):
        mask = IndexMask(ground_truth / name, true_values).read()
        prediction = IndexMask(predictions / name, predicted_values).read()
        try:
            matrix += confusion_matrix(mask, prediction, num_classes)
        except DeeplabError as error:
            raise DeeplabError(
                f"{predictions / name} against {ground_truth / name}: {error}"
            ) from error
        void_pixels += int((mask == VOID).sum())
        boundary += boundary_counts(mask, prediction, num_classes)
    return matrix, len(names), void_pixels, boundary


def _listed_names(
    listed: pathlib.Path | None, predictions: pathlib.Path, ground_truth: pathlib.Path
) -> list[str]:
    """Returns the file names that `listed` has, or all names in the folders where it is None.

    Raises:
        DeeplabError: a file is missing from one of the two folders.
    """
    if listed is None:
        return _paired_names(predictions, ground_truth)
    names = [f"{name}.png" for name in read_names(listed)]
    for path in (folder / name for name in names for folder in (predictions, ground_truth)):
        if not path.is_file():
            raise DeeplabError(f"{path} does not exist; {listed} lists it")
    return names


def _paired_names(predictions: pathlib.Path, ground_truth: pathlib.Path) -> list[str]:
    predicted, true = _png_names(predictions), _png_names(ground_truth)
    if not true:
        raise DeeplabError(f"--ground_truth={ground_truth} holds no PNG")
    for missing, folder, has in (
        (true - predicted, predictions, ground_truth),
        (predicted - true, ground_truth, predictions),
    ):
        if missing:
            raise DeeplabError(
                f"{folder / min(missing)} is missing ({len(missing)} of the PNGs in {has} have no "
                "partner there)"
            )
    return sorted(true)


def _png_names(folder: pathlib.Path) -> set[str]:
    if not folder.is_dir():
        raise DeeplabError(f"folder {folder} does not exist")
    return {
        path.name
        for path in folder.iterdir()
        if path.suffix.lower() == ".png" and not path.name.startswith(".")
    }
