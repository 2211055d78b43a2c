"""An evaluation as an Apache Beam pipeline: confusion matrices of images, added up."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.ml.inference.base import RunInference

from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.data.records import Records, SplitFiles, decode_mask
from deeplab_tf.distributed.beam import BeamRunner
from deeplab_tf.errors import DeeplabError
from deeplab_tf.evaluation.evaluate_split import SAMPLES, Evaluation, Sample
from deeplab_tf.files import own_folder, temporary_folder, whole_file
from deeplab_tf.images.confusion import confusion_matrix
from deeplab_tf.images.formats import view_rgb
from deeplab_tf.inference.batches import Picture, Predicted
from deeplab_tf.inference.beam_steps import (
    FAILED,
    Collection,
    ReadRecords,
    failed,
    format_failures,
    record_files,
    write_failures,
)
from deeplab_tf.inference.model_handler import Model, PredictorHandler
from deeplab_tf.prediction.job import FAILED_FILE

MATRIX_FILE = "matrix.npz"
SAMPLES_FILE = "samples.npz"


@dataclasses.dataclass(frozen=True)
class _Truth:
    """The ground truth of a picture: the `mask`, uint8 [H, W], of the example `name`."""

    name: str
    mask: np.ndarray


def evaluate_by_beam(
    runner: BeamRunner, model: Model, records: Records, split: SplitFiles, out: pathlib.Path
) -> Evaluation:
    """Evaluates as `evaluate` does, with the record files dealt out to the runner's workers.

    The matrix is that of `evaluate` to the last pixel, since the counts are integers. The samples
    are other examples: those with the least hashes of their names.

    Args:
        runner: the runner of Beam; its workers see all paths as this process does.
        model: the model that the workers load; the model must fit `records`.
        records: the data set.
        split: a split of `records`.
        out: a folder; the workers' results are gathered in a temporary folder inside it.

    Raises:
        DeeplabError: records are broken or have labels that are no class; the message names the
            first. There is no result then, since the result would be of another set.
    """
    with temporary_folder(out) as results:
        with runner.pipeline() as pipeline:
            _build(pipeline, model, records, split, results)
        wrong = format_failures(results / FAILED_FILE)
        if wrong:
            raise DeeplabError(f"{records.folder} cannot be evaluated on: {wrong}")
        with np.load(results / MATRIX_FILE) as counts:
            matrix, images = counts["matrix"], int(counts["images"])
        if images != split.num_examples:
            raise DeeplabError(
                f"{records.folder} must have {split.num_examples} examples. Evaluated: {images}"
            )
        return Evaluation(matrix, images, _read_samples(results / SAMPLES_FILE))


def _build(
    pipeline: Any, model: Model, records: Records, split: SplitFiles, results: pathlib.Path
) -> None:
    read = record_files(pipeline, split) | beam.ParDo(
        _ReadLabelled(records.image_format)
    ).with_outputs(FAILED, main="read")
    # The batch size is 1, as in `evaluate`: in larger batches the network may round otherwise.
    predicted = read["read"] | RunInference(PredictorHandler(model, 1))
    counted = predicted | beam.ParDo(_Count(records.classes.num_classes)).with_outputs(
        FAILED, main="counted"
    )
    _ = (
        counted["counted"]
        | beam.CombineGlobally(_Sum(records.classes.num_classes))
        | beam.Map(_write_matrix, results / MATRIX_FILE)
    )
    _ = (
        predicted
        | "spread" >> beam.combiners.Top.Of(SAMPLES, key=_spread, reverse=True)
        | "write samples" >> beam.Map(_write_samples, results / SAMPLES_FILE, records.image_format)
    )
    wrong: Collection = (read[FAILED], counted[FAILED]) | beam.Flatten()
    write_failures(wrong, results / FAILED_FILE)


class _ReadLabelled(ReadRecords):
    """A step from a record file to pictures with their masks."""

    def example(self, name: str, encoded: dict[str, Any]) -> Picture[_Truth]:
        return Picture(_Truth(name, decode_mask(encoded).numpy()), self.image_of(encoded))


class _Count(beam.DoFn):
    """A step from predictions to confusion matrices."""

    def __init__(self, num_classes: int):
        self._num_classes = num_classes

    def process(self, done: Predicted[_Truth]) -> Iterator[Any]:
        truth = done.picture.source
        try:
            yield confusion_matrix(truth.mask, done.labels, self._num_classes)
        except DeeplabError as error:
            yield failed(f"example {truth.name}", str(error))


class _Sum(beam.CombineFn):
    """The sum of int64 matrices and their number; each worker adds up before it sends anything."""

    def __init__(self, num_classes: int):
        self._num_classes = num_classes

    def create_accumulator(self) -> tuple[np.ndarray, int]:
        return np.zeros((self._num_classes, self._num_classes), np.int64), 0

    def add_input(
        self, accumulator: tuple[np.ndarray, int], element: np.ndarray
    ) -> tuple[np.ndarray, int]:
        return accumulator[0] + element, accumulator[1] + 1

    def merge_accumulators(
        self, accumulators: Iterable[tuple[np.ndarray, int]]
    ) -> tuple[np.ndarray, int]:
        matrix, images = self.create_accumulator()
        for other, count in accumulators:
            matrix, images = matrix + other, images + count
        return matrix, images

    def extract_output(self, accumulator: tuple[np.ndarray, int]) -> tuple[np.ndarray, int]:
        return accumulator


def _spread(done: Predicted[_Truth]) -> bytes:
    """Returns the key by which samples are chosen: as good as chance, and the same each time."""
    return hashlib.sha256(done.picture.source.name.encode()).digest()


def _write_matrix(total: tuple[np.ndarray, int], path: pathlib.Path) -> None:
    with whole_file(path, own_folder) as temporary:
        np.savez(temporary, matrix=total[0], images=total[1])


def _write_samples(
    chosen: list[Predicted[_Truth]], path: pathlib.Path, image_format: ImageFormat
) -> None:
    arrays = {}
    for number, done in enumerate(sorted(chosen, key=lambda done: done.picture.source.name)):
        truth = done.picture.source
        parts = {
            "name": truth.name,
            "image": view_rgb(done.picture.pixels, image_format),
            "truth": truth.mask,
            "prediction": done.labels,
        }
        arrays |= {f"{part}{number}": value for part, value in parts.items()}
    with whole_file(path, own_folder) as temporary:
        np.savez(temporary, **arrays)


def _read_samples(path: pathlib.Path) -> tuple[Sample, ...]:
    with np.load(path) as arrays:
        count = sum(name.startswith("name") for name in arrays)
        return tuple(
            Sample(
                str(arrays[f"name{number}"]),
                arrays[f"image{number}"],
                arrays[f"truth{number}"],
                arrays[f"prediction{number}"],
            )
            for number in range(count)
        )
