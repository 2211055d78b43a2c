"""Predicts many image files: a palette PNG of labels and an overlay for each."""

import pathlib

import tqdm

from deeplab_tf.data.image_format import view_rgb
from deeplab_tf.data.pictures import write_labels, write_overlay
from deeplab_tf.data.read_bands import read_image_of
from deeplab_tf.errors import DeeplabError
from deeplab_tf.evaluation.image_files import output_paths
from deeplab_tf.evaluation.predictor import Predictor


def predict_images(
    predictor: Predictor, images: list[pathlib.Path], out: pathlib.Path
) -> list[DeeplabError]:
    """Writes NAME.png and NAME_overlay.jpg into `out` for each image; goes on after a bad one.

    Returns:
        One error an image that could not be read; nothing is written for those.

    Raises:
        DeeplabError: an output would overwrite an input, or another image's output.
    """
    _check_outputs(images, out)
    out.mkdir(parents=True, exist_ok=True)
    failed = []
    for path in tqdm.tqdm(images, desc="predict", unit="image", disable=None):
        try:
            image = read_image_of(path, predictor.image)
        except DeeplabError as error:
            failed.append(error)
            continue
        labels = predictor.predict(image)
        labels_path, overlay_path = output_paths(path, out)
        write_labels(labels, predictor.labels, labels_path)
        write_overlay(view_rgb(image, predictor.image), labels, predictor.labels, overlay_path)
    return failed


def _check_outputs(images: list[pathlib.Path], out: pathlib.Path) -> None:
    inputs = {image.resolve() for image in images}
    by_stem: dict[str, pathlib.Path] = {}
    for image in images:
        for path in output_paths(image, out):
            if path.resolve() in inputs:
                raise DeeplabError(f"{path} would be overwritten; give another --out")
        other = by_stem.setdefault(image.stem, image)
        if other is not image:
            raise DeeplabError(
                f"{other} and {image} would both be written to {image.stem}.png; predict them into "
                "two folders"
            )
