"""An evaluation as an Apache Beam pipeline: the counts of images, added up."""

import dataclasses
import hashlib
import pathlib
import pickle
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.ml.inference.base import RunInference

from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.data.records import Records, SplitFiles, decode_mask
from deeplab_tf.distributed.beam import BeamRunner
from deeplab_tf.errors import DeeplabError
from deeplab_tf.evaluation.evaluate_split import SAMPLES
from deeplab_tf.evaluation.evaluation import Evaluation, Sample, make_evaluation
from deeplab_tf.evaluation.image_counts import ImageCounts
from deeplab_tf.evaluation.tally import Judged, Tally, judge
from deeplab_tf.evaluation.worst import Kept
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
    write_lines,
)
from deeplab_tf.inference.model_handler import Model, PredictorHandler
from deeplab_tf.inference.wanted import Wanted
from deeplab_tf.prediction.job import FAILED_FILE

TALLY_FILE = "tally.pickle"
LINES_FILE = "images.jsonl"
SAMPLES_FILE = "samples.npz"
CANDIDATES = 8 * SAMPLES
"""The examples that may become samples, on average; all of a set that has no more."""


@dataclasses.dataclass(frozen=True)
class _Truth:
    """The ground truth of a picture: the `mask`, uint8 [H, W], of the example `name`."""

    name: str
    mask: np.ndarray


def evaluate_by_beam(
    runner: BeamRunner,
    model: Model,
    records: Records,
    split: SplitFiles,
    out: pathlib.Path,
    details: bool = True,
) -> Evaluation:
    """Evaluates as `evaluate` does, with the record files dealt out to the runner's workers.

    The figures are those of `evaluate` to the last digit, since all sums are of integers. The
    samples are other examples: those with the least hashes of their names.

    Args:
        runner: the runner of Beam; its workers see all paths as this process does.
        model: the model that the workers load; the model must fit `records`.
        records: the data set.
        split: a split of `records`.
        out: a folder; the workers' results are gathered in a temporary folder inside it.
        details: whether to count boundaries, confidences and objects too.

    Raises:
        DeeplabError: records are broken or have labels that are no class; the message names the
            first. There is no result then, since the result would be of another set.
    """
    with temporary_folder(out) as results:
        with runner.pipeline() as pipeline:
            _build(pipeline, model, records, split, results, details)
        wrong = format_failures(results / FAILED_FILE)
        if wrong:
            raise DeeplabError(f"{records.folder} cannot be evaluated on: {wrong}")
        tally: Tally = pickle.loads((results / TALLY_FILE).read_bytes())
        if tally.images != split.num_examples:
            raise DeeplabError(
                f"{records.folder} must have {split.num_examples} examples. "
                f"Evaluated: {tally.images}"
            )
        with (results / LINES_FILE).open(encoding="utf-8") as lines:
            by_image = [ImageCounts.from_json(line) for line in lines]
        return make_evaluation(
            tally,
            _read_samples(results / SAMPLES_FILE),
            by_image,
            details,
            lambda names: {name: tally.worst.kept[name] for name in sorted(names)},
        )


def _build(
    pipeline: Any,
    model: Model,
    records: Records,
    split: SplitFiles,
    results: pathlib.Path,
    details: bool,
) -> None:
    read = record_files(pipeline, split) | beam.ParDo(
        _ReadLabelled(records.image_format)
    ).with_outputs(FAILED, main="read")
    # The batch size is 1, as in `evaluate`: in larger batches the network may round otherwise.
    wanted = Wanted.CONFIDENCE_IF_ANY if details else Wanted.LABELS
    predicted = read["read"] | RunInference(PredictorHandler(model, 1, wanted))
    judged = predicted | beam.ParDo(_Judge(records.classes.num_classes, details)).with_outputs(
        FAILED, main="judged"
    )
    _ = (
        judged["judged"]
        | beam.CombineGlobally(_Sum(records.classes.num_classes, records.image_format))
        | beam.Map(_write_tally, results / TALLY_FILE)
    )
    lines = judged["judged"] | "lines" >> beam.Map(lambda both: both[0].image.to_json())
    write_lines(lines, results / LINES_FILE, "write images")
    _ = (
        predicted
        | beam.Filter(_may_be_sample, split.num_examples)
        | "spread" >> beam.combiners.Top.Of(SAMPLES, key=_spread, reverse=True)
        | "write samples" >> beam.Map(_write_samples, results / SAMPLES_FILE, records.image_format)
    )
    wrong: Collection = (read[FAILED], judged[FAILED]) | beam.Flatten()
    write_failures(wrong, results / FAILED_FILE)


class _ReadLabelled(ReadRecords):
    """A step from a record file to pictures with their masks."""

    def example(self, name: str, encoded: dict[str, Any]) -> Picture[_Truth]:
        return Picture(_Truth(name, decode_mask(encoded).numpy()), self.image_of(encoded))


class _Judge(beam.DoFn):
    """A step from predictions to their counts, beside them."""

    def __init__(self, num_classes: int, details: bool):
        self._num_classes, self._details = num_classes, details

    def process(self, done: Predicted[_Truth]) -> Iterator[Any]:
        truth = done.picture.source
        try:
            matrix = confusion_matrix(truth.mask, done.labels, self._num_classes)
        except DeeplabError as error:
            yield failed(f"example {truth.name}", str(error))
            return
        arguments = truth.name, truth.mask, done.labels, matrix, done.confidence
        yield judge(*arguments, details=self._details), done


class _Sum(beam.CombineFn):
    """The sums over images; each worker adds up before it sends anything."""

    def __init__(self, num_classes: int, image_format: ImageFormat):
        self._num_classes, self._image_format = num_classes, image_format

    def create_accumulator(self) -> Tally:
        return Tally(self._num_classes)

    def add_input(self, accumulator: Tally, element: tuple[Judged, Predicted[_Truth]]) -> Tally:
        judged, done = element

        def kept() -> Kept:
            view = view_rgb(done.picture.pixels, self._image_format)
            return Kept.of(view, done.picture.source.mask, done.labels)

        accumulator.add(judged, kept)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Tally]) -> Tally:
        merged = self.create_accumulator()
        for accumulator in accumulators:
            merged.merge(accumulator)
        return merged

    def extract_output(self, accumulator: Tally) -> Tally:
        return accumulator


def _spread(done: Predicted[_Truth]) -> bytes:
    """Returns the key by which samples are chosen: as good as chance, and the same each time."""
    return hashlib.sha256(done.picture.source.name.encode()).digest()


def _may_be_sample(done: Predicted[_Truth], num_examples: int) -> bool:
    """Returns whether an example is among the about `CANDIDATES` that samples are chosen of.

    Without this each part of the work would send `SAMPLES` pictures to one worker.
    """
    drawn = int.from_bytes(_spread(done)[:8]) / 2**64
    return drawn * num_examples < CANDIDATES


def _write_tally(tally: Tally, path: pathlib.Path) -> None:
    with whole_file(path, own_folder) as temporary:
        temporary.write_bytes(pickle.dumps(tally))


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
