"""The files of one predicted image, and those of all images together."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, TextIO

import numpy as np

from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.files import ListFile, whole_file
from deeplab_tf.images.classes import Classes
from deeplab_tf.images.drawing import write_labels, write_overlay
from deeplab_tf.images.formats import view_rgb
from deeplab_tf.images.geotiff import TILE, write_geo_labels
from deeplab_tf.images.map_frame import read_map_frame
from deeplab_tf.images.regions import Region, find_regions, simplified
from deeplab_tf.inference.batches import Predicted
from deeplab_tf.inference.predictor import Predictor
from deeplab_tf.prediction.areas import HEADER, Row, area_rows, is_areas, write_rows
from deeplab_tf.prediction.coco_json import ANNOTATIONS, annotations, categories, is_coco
from deeplab_tf.prediction.geojson import write_geojson
from deeplab_tf.prediction.labelme_json import write_labelme, write_names
from deeplab_tf.prediction.outputs import common_outputs, image_outputs
from deeplab_tf.prediction.probability_files import write_confidence, write_probabilities
from deeplab_tf.prediction.writes import Writes


@dataclasses.dataclass(frozen=True)
class Shown:
    """What an overlay shows where it is not the whole image.

    Attributes:
        view: uint8 [h, w, 3], every `step`-th pixel of the image.
        step: in pixels.
    """

    view: np.ndarray
    step: int


@dataclasses.dataclass(frozen=True)
class Share:
    """What one image gives to the files of all images.

    Attributes:
        name: the name of the image file.
        size: (height, width).
        rows: those of `areas.csv`.
        annotations: those of `coco.json`, without `id` and `image_id`.
    """

    name: str
    size: tuple[int, int]
    rows: list[Row] = dataclasses.field(default_factory=list)
    annotations: list[dict[str, Any]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Writer:
    """The writing of predictions into one folder.

    Attributes:
        writes: what is written.
        classes: the model's classes.
        image_format: the images that the model takes.
        out: the folder.
        within, durable: as for `whole_file`; files are not flushed one by one by default, since
            the same command makes them again.
    """

    writes: Writes
    classes: Classes
    image_format: ImageFormat
    out: pathlib.Path
    within: pathlib.Path | None = None
    durable: bool = False

    @classmethod
    def of(cls, predictor: Predictor, writes: Writes, out: pathlib.Path, **whole: Any) -> "Writer":
        """Returns the writer of a predictor's predictions."""
        return cls(writes, predictor.classes, predictor.image_format, out, **whole)

    def write(
        self,
        done: Predicted[Any],
        stem: str,
        image: pathlib.Path | None,
        shown: Shown | None = None,
    ) -> Share:
        """Writes the files of one image, and returns its share of those of all images.

        Args:
            done: the picture and what the model made of it.
            stem: the name of the image without suffix, which may have folders.
            image: the image file; None where there is none.
            shown: what the overlay shows; None for the picture's own pixels.
        """
        place, whole = done.picture.place, {"within": self.within, "durable": self.durable}
        paths = image_outputs(stem, bool(place), self.out, self.writes.outputs)
        labels = self.writes.tidy(done.labels, self.classes)
        size = labels.shape[0], labels.shape[1]
        frame = read_map_frame(image) if place and image and self.writes.needs_regions else None
        regions, drawn = self._regions(labels)
        name = image.name if image else stem
        if (path := paths.get("geojson")) is not None:
            write_geojson(drawn, self.classes, name, frame, path, **whole)
        if (path := paths.get("labelme")) is not None and image:
            write_labelme(drawn, self.classes, image, size, path, **whole)
        if (path := paths.get("probabilities")) is not None and done.probabilities is not None:
            write_probabilities(done.probabilities, self.classes, place, path, **whole)
        if (path := paths.get("confidence")) is not None and done.confidence is not None:
            write_confidence(done.confidence, place, path, **whole)
        if (path := paths.get("labels")) is not None:
            self._write_labels(labels, done, path, whole)
        if (path := paths.get("overlay")) is not None:
            step = shown.step if shown else 1
            view = shown.view if shown else view_rgb(done.picture.pixels, self.image_format)
            write_overlay(view, labels[::step, ::step], self.classes, path, **whole)
        rows, marks = [], []
        if "areas" in self.writes.outputs:
            rows = area_rows(name, labels, regions, self.classes, frame)
        if "coco" in self.writes.outputs:
            marks = list(annotations(regions, drawn, self.classes, size))
        return Share(name, size, rows, marks)

    def areas(self, labels: np.ndarray, name: str) -> list[Row]:
        """Returns the rows of `areas.csv` for labels that `write` does not get; none if not wanted.

        The labels, uint8 [H, W], are tidy already.
        """
        if "areas" not in self.writes.outputs:
            return []
        return area_rows(name, labels, self._regions(labels)[0], self.classes, None)

    def _regions(self, labels: np.ndarray) -> tuple[list[Region], list[Region]]:
        """Returns the regions where they are needed, and the same ones as they are drawn."""
        if not self.writes.needs_regions:
            return [], []
        regions = list(find_regions(labels))
        if not self.writes.simplify or "polygons" not in self.writes.kinds:
            return regions, regions
        return regions, simplified(regions, self.writes.simplify)

    def _write_labels(
        self, labels: np.ndarray, done: Predicted[Any], path: pathlib.Path, whole: dict[str, Any]
    ) -> None:
        place = done.picture.place
        if not place:
            write_labels(np.ascontiguousarray(labels), self.classes, path, **whole)
            return
        chunks = (labels[top : top + TILE] for top in range(0, len(labels), TILE))
        size = labels.shape[0], labels.shape[1]
        write_geo_labels(chunks, size, self.classes, place, path, **whole)


Add = Callable[[Share], None]
"""A function that takes the share of each image in turn."""


class Collected:
    """Takes the shares of images, as a function, for the files of all images.

    Attributes:
        adds: a function for each of the files.
        areas: the open `areas.csv`; None where it is not written.
    """

    def __init__(self) -> None:
        self.adds: list[Add] = []
        self.areas: TextIO | None = None

    def __call__(self, share: Share) -> None:
        for add in self.adds:
            add(share)

    @contextlib.contextmanager
    def all_or_none(self) -> Iterator[None]:
        """Takes the rows of `areas.csv` back that came in a block which an error ends.

        A video's frames have no other file of all images.
        """
        begin = self.areas.tell() if self.areas is not None else 0
        try:
            yield
        except BaseException:
            if self.areas is not None:
                self.areas.seek(begin)
                self.areas.truncate()
            raise


@contextlib.contextmanager
def collected(writer: Writer) -> Iterator[Collected]:
    """Yields what takes the shares of all images; their files are whole at the end, or absent.

    The files are `areas.csv`, `coco.json`, and for Labelme the names of all classes. The memory
    holds the names and sizes of the images, and no annotations.
    """
    paths = common_outputs(writer.out, writer.writes.outputs)
    with contextlib.ExitStack() as opened:
        if "labelme" in writer.writes.outputs:
            write_names(writer.out, writer.classes, writer.within)
        found = Collected()
        if "areas" in paths:
            file = found.areas = opened.enter_context(_areas(paths["areas"]))
            found.adds.append(lambda share: write_rows(file, share.rows))
        if "coco" in paths:
            found.adds.append(opened.enter_context(_coco(paths["coco"], writer.classes)))
        yield found


@contextlib.contextmanager
def _areas(path: pathlib.Path) -> Iterator[TextIO]:
    with (
        whole_file(path, is_areas) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        write_rows(file, [HEADER])
        yield file


@contextlib.contextmanager
def _coco(path: pathlib.Path, classes: Classes) -> Iterator[Add]:
    with (
        whole_file(path, is_coco) as temporary,
        temporary.open("w", encoding="utf-8") as file,
    ):
        written = ListFile(file, ANNOTATIONS, {"categories": categories(classes)})
        images: list[dict[str, Any]] = []
        count = 0

        def add(share: Share) -> None:
            nonlocal count
            height, width = share.size
            id_ = len(images) + 1
            images.append({"id": id_, "file_name": share.name, "height": height, "width": width})
            for each in share.annotations:
                count += 1
                written.add([{"id": count, "image_id": id_, **each}])

        yield add
        written.finish({"images": images})
