"""Predictions of image files: labels, as a palette PNG or GeoTIFF, and an overlay for each.

Tested in tests/evaluation/test_evaluate.py and tests/prediction/test_beam_predict.py.
"""

import pathlib
from collections.abc import Iterator

import tqdm

from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.drawing import write_overlay
from deeplab_tf.images.formats import view_rgb
from deeplab_tf.inference.batches import BATCH_SIZE, Picture, Predicted, predict_batches
from deeplab_tf.inference.predictor import Predictor
from deeplab_tf.parallel import in_threads
from deeplab_tf.prediction.outputs import image_outputs
from deeplab_tf.prediction.pictures import read_picture, write_picture_labels
from deeplab_tf.prediction.predict_scene import is_scene, predict_scene


def predict_images(
    predictor: Predictor,
    images: list[pathlib.Path],
    out: pathlib.Path,
    batch_size: int = BATCH_SIZE,
) -> list[DeeplabError]:
    """Writes the labels and NAME_overlay.jpg into `out` for each image; goes on after a bad image.

    The labels are NAME.png, or NAME.tif of a GeoTIFF. TIFFs larger than a window are read and
    written by rows of windows.

    Threads read and write files while the network computes. Progress is shown on stderr where
    stderr is a terminal.

    Returns:
        One error for each image that could not be read; nothing is written for such an image.
    """
    failed: list[DeeplabError] = []
    scenes = [path for path in images if is_scene(path, predictor)]
    for path in scenes:
        try:
            predict_scene(path, predictor, out)
        except DeeplabError as error:
            failed.append(error)
    images = [path for path in images if path not in scenes]
    with tqdm.tqdm(total=len(images), desc="predict", unit="image", disable=None) as progress:

        def pictures() -> Iterator[Picture[pathlib.Path]]:
            for read in in_threads(lambda path: _read(path, predictor), images):
                if isinstance(read, Picture):
                    yield read
                else:
                    failed.append(read)
                    progress.update()

        predicted = predict_batches(predictor, pictures(), batch_size)
        for _ in in_threads(lambda done: write_prediction(done, predictor, out), predicted):
            progress.update()
    return failed


def write_prediction(
    done: Predicted[pathlib.Path], predictor: Predictor, out: pathlib.Path
) -> None:
    """Writes the labels and the overlay of one picture into `out`.

    The files are not flushed to the disk one by one, since the same command makes them again.
    """
    labels_path, overlay_path = image_outputs(done.picture.source, out)
    write_picture_labels(done, predictor.classes, labels_path, durable=False)
    view = view_rgb(done.picture.pixels, predictor.image_format)
    write_overlay(view, done.labels, predictor.classes, overlay_path, durable=False)


def _read(path: pathlib.Path, predictor: Predictor) -> Picture[pathlib.Path] | DeeplabError:
    try:
        return read_picture(path, path, predictor.image_format)
    except DeeplabError as error:
        return error
