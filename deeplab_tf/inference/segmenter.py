"""A model that labels pictures in Python, from any artefact that `deeplab-predict` takes."""

import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from deeplab_tf.artefacts.trained_model import TrainedModel, load_model
from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.bands import read_with_missing
from deeplab_tf.images.classes import Classes
from deeplab_tf.images.drawing import overlay
from deeplab_tf.images.files import picture_pixels
from deeplab_tf.images.formats import view_rgb
from deeplab_tf.images.nodata import with_void, without_absent
from deeplab_tf.images.resampling import enlarge_probabilities
from deeplab_tf.inference.predictor import (
    Predictor,
    fixed_inference,
    is_exported,
    load_predictor,
    trained_predictor,
)
from deeplab_tf.inference.strategies import images_to_probabilities, resolve_evaluate_config
from deeplab_tf.named import model_path

Picture = str | os.PathLike | np.ndarray | Image.Image
"""An image file, pixels [H, W, bands] in the model's own dtype, or a Pillow image."""


def load(path: str | os.PathLike, report: Callable[[str], None] = print) -> "Segmenter":
    """Loads a workdir, a `.keras`, `.onnx` or `.tflite` file, the folder of a SavedModel or of an
    OpenVINO model, or a name.

    Args:
        path: the artefact, or the name of a published model, as `voc-mobilenet-v2`.
        report: gets a line for each broken checkpoint of a workdir that is passed over, one on
            which weights are taken where the training of the workdir keeps the best, one at the
            first image that is larger than those of the training, and those of `model_path`.

    Raises:
        DeeplabError: `path` is none of these, is damaged, or the published model cannot be had.
    """
    path = model_path(path, report)
    if is_exported(path):
        return Segmenter(path, None, load_predictor(path, report), report)
    trained = load_model(path, report)
    evaluate_config = resolve_evaluate_config(trained.experiment)
    return Segmenter(path, trained, trained_predictor(trained, evaluate_config, report), report)


class Segmenter:
    """A loaded model: `segment` gives the labels of an image, `overlay` shows them.

    Attributes:
        classes: the model's classes.
        image_format: the images that the model takes.
        trained: the Keras model with its experiment; None for an exported artefact.
    """

    def __init__(
        self,
        path: pathlib.Path,
        trained: TrainedModel | None,
        predictor: Predictor,
        report: Callable[[str], None] = print,
    ):
        self.trained = trained
        self.classes: Classes = predictor.classes
        self.image_format: ImageFormat = predictor.image_format
        self._path = path
        self._report = report
        # Each way to infer is traced once.
        self._functions: dict[tuple, Callable[[np.ndarray], np.ndarray]] = {
            _key(False, {}): predictor.predict
        }

    def segment(
        self,
        image: Picture,
        *,
        output_stride: int | None = None,
        scales: Sequence[float] | None = None,
        flip: bool | None = None,
        window: int | None = None,
        working_size: int | None = None,
        probabilities: bool = False,
    ) -> np.ndarray:
        """Labels one image at its own size.

        Args:
            image: a file, pixels or a Pillow image.
            output_stride: 8, 16 or 32: the same weights on a denser or a coarser map.
            scales: factors of the image's sides whose class probabilities are averaged.
            flip: whether to average with the mirrored image.
            window: pixels a side of the overlapping windows that a larger image is cut into.
            working_size: the longest side, in pixels, at which the network sees the image; a longer
                image is shrunk to it and its scores are enlarged again. 0: every image as it is.
            probabilities: whether to return the classes' probabilities instead of labels.

            None takes the value of the experiment's evaluate section, whose default for
            `working_size` is the longest side of the training images, or 0 with a window. An
            exported artefact has its inference fixed and takes only `working_size`, and
            `probabilities` where it gives more than labels.

        Returns:
            uint8 [H, W], with 255 for pixels without data, or float32 [H, W, num_classes] that sum
            to 1 over the classes.

        Raises:
            DeeplabError: the image is of another format, or the model cannot infer in that way.
        """
        given: dict = {"output_stride": output_stride, "flip": flip, "window": window}
        given["working_size"] = working_size
        given["scales"] = None if scales is None else tuple(float(scale) for scale in scales)
        given = {name: value for name, value in given.items() if value is not None}
        pixels, missing = self._pixels(image)
        found = self._function(probabilities, given)(pixels[None])[0]
        return found if probabilities else with_void(found, missing)

    def overlay(self, image: Picture, labels: np.ndarray | None = None) -> Image.Image:
        """Draws an image under its labels' colours, above a legend, as an RGB picture.

        `labels`, uint8 [H, W], are those of `segment` by default.
        """
        pixels, _ = self._pixels(image)
        if labels is None:
            labels = self.segment(image)
        return overlay(view_rgb(pixels, self.image_format), labels, self.classes)

    def _function(self, probabilities: bool, given: dict) -> Callable[[np.ndarray], np.ndarray]:
        key = _key(probabilities, given)
        if key not in self._functions:
            self._functions[key] = self._make(probabilities, given)
        return self._functions[key]

    def _make(self, probabilities: bool, given: dict) -> Callable[[np.ndarray], np.ndarray]:
        if self.trained is None:
            if options := [*(given.keys() - {"working_size"})]:
                raise fixed_inference(self._path, options)
            predictor = load_predictor(self._path, self._report, **given)
            return _probabilities(predictor) if probabilities else predictor.predict
        evaluate_config = resolve_evaluate_config(self.trained.experiment, **given)
        if probabilities:
            return images_to_probabilities(self.trained, evaluate_config, self._report)
        return trained_predictor(self.trained, evaluate_config, self._report).predict

    def _pixels(self, image: Picture) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns the pixels of `image`, [H, W, bands] in the model's format, and those without
        data, as `read_with_missing` does."""
        if isinstance(image, str | os.PathLike):
            return read_with_missing(pathlib.Path(image), self.image_format)
        if isinstance(image, Image.Image):
            name = getattr(image, "filename", "") or "in memory"
            image = picture_pixels(pathlib.Path(name), image)
        wanted = self.image_format
        if image.ndim != 3 or image.shape[-1] != wanted.bands or image.dtype != wanted.dtype:
            raise DeeplabError(
                f"an image must be {wanted.dtype} [height, width, {wanted.bands}]. "
                f"Received: {image.dtype} {list(image.shape)}"
            )
        return without_absent(image, wanted.nodata, wanted)


def _probabilities(predictor: Predictor) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from images to the class probabilities by the predictor's scores."""

    def probabilities(images: np.ndarray) -> np.ndarray:
        found = predictor.scores(images)
        size = images.shape[1], images.shape[2]
        return enlarge_probabilities(found.values, size, found.are_logits)

    return probabilities


def _key(probabilities: bool, given: dict) -> tuple:
    return probabilities, *sorted(given.items())
