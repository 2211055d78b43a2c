"""Predictions of scenes: TIFFs larger than a window, read and written by rows of windows.

The labels are those of the whole image in windows, and the memory holds one row of windows.
"""

import dataclasses
import pathlib
from collections.abc import Iterator

import numpy as np
import tqdm

from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.images.bands import nodata_of
from deeplab_tf.images.drawing import write_labels, write_overlay
from deeplab_tf.images.formats import view_rgb
from deeplab_tf.images.geotiff import read_place, write_geo_labels
from deeplab_tf.images.marks import LONGEST_SIDE
from deeplab_tf.images.nodata import with_void, without_absent
from deeplab_tf.images.scene import Scene, open_scene
from deeplab_tf.inference.predictor import Predictor
from deeplab_tf.prediction.outputs import image_outputs


@dataclasses.dataclass
class _Small:
    """Every n-th row and column of an image and its labels, for the overlay.

    Attributes:
        step: n.
        pixels, labels: the rows so far.
    """

    step: int
    pixels: list[np.ndarray] = dataclasses.field(default_factory=list)
    labels: list[np.ndarray] = dataclasses.field(default_factory=list)

    def add(self, first: int, pixels: np.ndarray, labels: np.ndarray) -> None:
        """Adds rows of the image, of which the first is row `first`."""
        begin = -first % self.step
        self.pixels.append(pixels[begin :: self.step, :: self.step].copy())
        self.labels.append(labels[begin :: self.step, :: self.step].copy())

    def view(self, image_format: ImageFormat) -> tuple[np.ndarray, np.ndarray]:
        """Returns the small picture, uint8 [h, w, 3], and its labels, uint8 [h, w]."""
        return view_rgb(np.concatenate(self.pixels), image_format), np.concatenate(self.labels)


def is_scene(path: pathlib.Path, predictor: Predictor) -> bool:
    """Returns whether `predict_scene` takes the file: a TIFF with more rows than one window."""
    if predictor.row_spans is None:
        return False
    with open_scene(path, predictor.image_format) as scene:
        return scene is not None and len(predictor.row_spans(scene.height)) > 1


def predict_scene(path: pathlib.Path, predictor: Predictor, out: pathlib.Path) -> None:
    """Writes the labels of a file that `is_scene`, and an overlay, into `out`.

    The overlay is of every n-th pixel, so that no side exceeds `LONGEST_SIDE`.

    Raises:
        DeeplabError: the file is broken; nothing is written then.
    """
    labels_path, overlay_path = image_outputs(path, out)
    place, classes = read_place(path), predictor.classes
    with open_scene(path, predictor.image_format) as scene:
        assert scene is not None
        small = _Small(-(-max(scene.height, scene.width) // LONGEST_SIDE))
        chunks = _labels(scene, predictor, small)
        if place:
            size = scene.height, scene.width
            write_geo_labels(chunks, size, classes, place, labels_path, durable=False)
        else:
            write_labels(np.concatenate([*chunks]), classes, labels_path, durable=False)
    view, labels = small.view(predictor.image_format)
    write_overlay(view, labels, classes, overlay_path, durable=False)


def _labels(scene: Scene, predictor: Predictor, small: _Small) -> Iterator[np.ndarray]:
    """Yields the labels from top to bottom, uint8 [rows, width], and adds the rows to `small`."""
    assert predictor.row_spans is not None
    image_format = predictor.image_format
    nodata = nodata_of(scene.path, image_format)
    with tqdm.tqdm(total=scene.height, desc=scene.path.name, unit="row", disable=None) as progress:
        for top, bottom, first, last in predictor.row_spans(scene.height):
            stored = scene.rows(top, bottom)
            pixels, missing = without_absent(stored, nodata, image_format)
            labels = with_void(predictor.predict(pixels[None])[0], missing)
            own = slice(first - top, last - top)
            small.add(first, pixels[own], labels[own])
            yield labels[own]
            progress.update(last - first)
