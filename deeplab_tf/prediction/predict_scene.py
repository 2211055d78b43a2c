"""Predictions of scenes: TIFFs larger than a window, read and predicted by rows of windows.

The labels are those of the whole image in windows. The memory holds one row of windows; what was
predicted lies in temporary files, which are mapped into memory to be written.
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import tqdm

from deeplab_tf.files import temporary_folder
from deeplab_tf.images.bands import nodata_of
from deeplab_tf.images.formats import view_rgb
from deeplab_tf.images.geotiff import read_place
from deeplab_tf.images.marks import LONGEST_SIDE
from deeplab_tf.images.nodata import without_absent
from deeplab_tf.images.scene import Scene, open_scene
from deeplab_tf.inference.batches import Picture, Predicted, predict_one
from deeplab_tf.inference.predictor import Predictor
from deeplab_tf.inference.wanted import Wanted
from deeplab_tf.prediction.write_outputs import Share, Shown, Writer


@dataclasses.dataclass
class _Rows:
    """Arrays that grow by rows in files of their own.

    Attributes:
        folder: the folder of the files.
    """

    folder: pathlib.Path
    _files: dict[str, BinaryIO] = dataclasses.field(default_factory=dict)
    _forms: dict[str, tuple[np.dtype, tuple[int, ...]]] = dataclasses.field(default_factory=dict)

    def add(self, opened: contextlib.ExitStack, name: str, rows: np.ndarray) -> None:
        """Adds rows, [n, W, ...], to the array `name`."""
        if name not in self._files:
            self._files[name] = opened.enter_context((self.folder / name).open("wb"))
            self._forms[name] = rows.dtype, rows.shape[1:]
        np.ascontiguousarray(rows).tofile(self._files[name])

    def array(self, name: str) -> np.ndarray | None:
        """Returns an array, mapped from its closed file; None where no rows were added."""
        if name not in self._forms:
            return None
        dtype, shape = self._forms[name]
        path = self.folder / name
        height = path.stat().st_size // (dtype.itemsize * int(np.prod(shape)))
        # Copied where it is written to, which nobody does; rasterio takes no read-only array.
        return np.memmap(path, dtype, "c", shape=(height, *shape))


def is_scene(path: pathlib.Path, predictor: Predictor) -> bool:
    """Returns whether `predict_scene` takes the file: a TIFF with more rows than one window."""
    if predictor.row_spans is None:
        return False
    with open_scene(path, predictor.image_format) as scene:
        return scene is not None and len(predictor.row_spans(scene.height)) > 1


def predict_scene(path: pathlib.Path, predictor: Predictor, writer: Writer) -> Share:
    """Writes the files of a TIFF that `is_scene`, and returns its share of those of all images.

    The overlay is of every n-th pixel, so that no side exceeds `LONGEST_SIDE`.

    Raises:
        DeeplabError: the file is broken; nothing is written then.
    """
    with (
        open_scene(path, predictor.image_format) as scene,
        temporary_folder(writer.out) as folder,
    ):
        assert scene is not None
        step = -(-max(scene.height, scene.width) // LONGEST_SIDE)
        small, rows = [], _Rows(folder)
        with contextlib.ExitStack() as opened:
            for first, done in _predicted(scene, predictor, writer.writes.wanted):
                begin = -first % step
                small.append(done.picture.pixels[begin::step, ::step].copy())
                for name in ("labels", "confidence", "probabilities"):
                    if (found := getattr(done, name)) is not None:
                        rows.add(opened, name, found)
        pixels = np.concatenate(small)
        labels = rows.array("labels")
        assert labels is not None  # a scene has rows
        whole = Predicted(
            Picture(path, pixels, None, read_place(path)),
            labels,
            rows.array("confidence"),
            rows.array("probabilities"),
        )
        view = view_rgb(pixels, predictor.image_format)
        return writer.write(whole, path.stem, path, Shown(view, step))


def _predicted(
    scene: Scene, predictor: Predictor, wanted: Wanted
) -> Iterator[tuple[int, Predicted[pathlib.Path]]]:
    """Yields the number of the first row, and the rows with what the model made of them."""
    assert predictor.row_spans is not None
    image_format = predictor.image_format
    nodata = nodata_of(scene.path, image_format)
    with tqdm.tqdm(total=scene.height, desc=scene.path.name, unit="row", disable=None) as progress:
        for top, bottom, first, last in predictor.row_spans(scene.height):
            stored = scene.rows(top, bottom)
            pixels, missing = without_absent(stored, nodata, image_format)
            done = predict_one(predictor, Picture(scene.path, pixels, missing), wanted)
            own = slice(first - top, last - top)
            confidence, probabilities = (
                None if found is None else found[own]
                for found in (done.confidence, done.probabilities)
            )
            picture = Picture(scene.path, pixels[own])
            yield first, Predicted(picture, done.labels[own], confidence, probabilities)
            progress.update(last - first)
