"""Labels of millions of images as an Apache Beam pipeline: files or records to PNGs.

The runner's workers list, read, predict and write the files. The name of each output is made only
of the name of its image, an output is whole or absent, and an output that exists is not made again.
A stopped job can therefore go on, and a part that a runner does twice leaves the same files.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import RunInference

from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.data.records import SplitFiles
from deeplab_tf.distributed.beam import BeamRunner
from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import whole_file
from deeplab_tf.images.classes import Classes
from deeplab_tf.images.suffixes import IMAGE_SUFFIXES
from deeplab_tf.images.video import VIDEO_SUFFIXES
from deeplab_tf.inference.batches import BATCH_SIZE, Picture, Predicted
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
from deeplab_tf.prediction.inputs import no_image, root_of, walk_images
from deeplab_tf.prediction.job import (
    FAILED_FILE,
    check_reserved,
    is_failures,
    job_folder,
    model_digest,
    write_job,
)
from deeplab_tf.prediction.outputs import labels_suffix
from deeplab_tf.prediction.pictures import read_picture, write_picture_labels

THERE = "there"
"""The tag of the names of labels that existed before."""
COUNTS_FILE = "counts"


@dataclasses.dataclass(frozen=True)
class ImageFiles:
    """Image files: one, a folder's, or a glob pattern's.

    The labels of `root/a/NAME.jpg` become `a/NAME.png`.
    """

    pattern: str

    def identity(self) -> dict[str, object]:
        return {"images below": str(root_of(self.pattern).resolve())}

    def check(self) -> None:
        if next(walk_images(self.pattern), None) is None:
            raise no_image(self.pattern)

    def pictures(
        self, pipeline: beam.Pipeline, out: pathlib.Path, image_format: ImageFormat
    ) -> Collection:
        named = (
            pipeline
            | beam.Create([self.pattern])
            | beam.FlatMap(functools.partial(_named_files, out=out))
            # Images with the same output come together, and Beam deals all out to the workers.
            | beam.GroupByKey()
        )
        return named | beam.ParDo(_ReadImage(out, image_format)).with_outputs(
            THERE, FAILED, main="read"
        )


@dataclasses.dataclass(frozen=True)
class RecordImages:
    """The images of a prepared split, `dataset/split`; the labels of ID become `ID.png`."""

    name: str
    split: SplitFiles
    fingerprint: str

    def identity(self) -> dict[str, object]:
        return {"records": self.name, "fingerprint": self.fingerprint}

    def check(self) -> None:
        """Does nothing: the records are open already."""

    def pictures(
        self, pipeline: beam.Pipeline, out: pathlib.Path, image_format: ImageFormat
    ) -> Collection:
        files = record_files(pipeline, self.split)
        return files | beam.ParDo(_ReadSplit(out, image_format)).with_outputs(
            THERE, FAILED, main="read"
        )


def predict_by_beam(
    runner: BeamRunner,
    model: Model,
    inputs: ImageFiles | RecordImages,
    out: pathlib.Path,
    batch_size: int = BATCH_SIZE,
    report: Callable[[str], None] = print,
) -> None:
    """Predicts all `inputs` into `out`, and reports how many.

    A bad input is left out, and a stopped job goes on.

    `out` gets the labels as palette PNGs, `failed.jsonl` with all that could not be read, and
    `job.json`, which reserves the folder for this model and these inputs and gets the counts at the
    end.

    Args:
        runner: the runner of Beam; its workers see all paths as this process does.
        model: the model that the workers load.
        inputs: image files or records.
        out: a folder that is new, empty or of the same job.
        batch_size: the images of one size that go through the network together.
        report: gets one line that says how many images were predicted, and one that says at which
            size the network sees large images.

    Raises:
        DeeplabError: at the end, where images could not be read, and the message names the first;
            or before, where there is nothing to predict, or `out` or the runner does not fit. Also
            where the model was changed in the meantime.
    """
    runner.check()
    inputs.check()
    check_reserved(out)  # before the model is loaded
    predictor = model.load()  # only for what it takes
    classes, image_format = predictor.classes, predictor.image_format
    if predictor.working.note:
        report(predictor.working.note)
    digest = model_digest(model.path)
    job = {
        "model": digest,
        "inference": _given(model.overrides),
        **inputs.identity(),
    }
    with job_folder(out, job) as writing:
        with runner.pipeline() as pipeline:
            read = inputs.pictures(pipeline, out, image_format)
            written = (
                read["read"]
                | RunInference(PredictorHandler(model, batch_size))
                | beam.Map(functools.partial(_write, out=out, writing=writing, classes=classes))
            )
            write_failures(read[FAILED], writing / FAILED_FILE)
            _write_counts(written, read[THERE], read[FAILED], writing / COUNTS_FILE)
        counts = _read_counts(writing / COUNTS_FILE)
        if model_digest(model.path) != digest:
            raise DeeplabError(f"{model.path} was changed while it predicted; give another --out")
        with whole_file(out / FAILED_FILE, is_failures) as temporary:
            (writing / FAILED_FILE).rename(temporary)
        write_job(out, {**job, **counts})
    _finish(out, counts, report)


def _given(overrides: dict[str, Any]) -> dict[str, Any]:
    """Returns the `overrides` that are not None, with values as they are read back from JSON."""
    given = {name: value for name, value in overrides.items() if value is not None}
    return json.loads(json.dumps(given))


def _named_files(pattern: str, out: pathlib.Path) -> Iterator[tuple[str, str]]:
    """Yields (output below `out`, image) for each file of `pattern` that is not below `out`."""
    root = root_of(pattern)
    below = out.resolve()
    for path in walk_images(pattern, IMAGE_SUFFIXES + VIDEO_SUFFIXES):
        if not path.resolve().is_relative_to(below):
            yield str(path.relative_to(root).with_suffix(labels_suffix(path))), str(path)


class _ReadImage(beam.DoFn):
    """A step from (output, images of that output) to a picture; two images or more are failures."""

    def __init__(self, out: pathlib.Path, image_format: ImageFormat):
        self._out = out
        self._image_format = image_format

    def process(self, element: tuple[str, Iterable[str]]) -> Iterator[Any]:
        name, paths = element[0], sorted(element[1])
        if len(paths) > 1:
            for path in paths:
                others = ", ".join(other for other in paths if other != path)
                yield failed(
                    path,
                    f"the labels of this file and of {others} would both be {name}; predict into "
                    "two folders",
                )
            return
        path = pathlib.Path(paths[0])
        if path.suffix.lower() in VIDEO_SUFFIXES:
            yield failed(str(path), "the file is a video; predict videos without --runner")
        elif (self._out / name).is_file():
            yield beam.pvalue.TaggedOutput(THERE, name)
        else:
            try:
                yield read_picture(name, path, self._image_format)
            except DeeplabError as error:
                yield failed(str(path), str(error))


class _ReadSplit(ReadRecords):
    """A step from a record file to pictures, and to the names of labels that exist already."""

    def __init__(self, out: pathlib.Path, image_format: ImageFormat):
        super().__init__(image_format)
        self._out = out

    def example(self, name: str, encoded: dict[str, Any]) -> Any:
        output = f"{name}.png"
        if output.startswith("/") or ".." in pathlib.PurePath(output).parts:
            return failed(
                f"record {name!r}",
                "the record's id must name a file inside the folder of the predictions",
            )
        if (self._out / output).is_file():
            return beam.pvalue.TaggedOutput(THERE, output)
        return Picture(output, self.image_of(encoded))


def _write(done: Predicted[str], out: pathlib.Path, writing: pathlib.Path, classes: Classes) -> str:
    """Writes the labels and returns their name; another worker may be writing the same labels."""
    write_picture_labels(done, classes, out / done.picture.source, within=writing)
    return done.picture.source


def _write_counts(
    written: Collection, there: Collection, bad: Collection, path: pathlib.Path
) -> None:
    """Writes the sizes of the three collections to `path`, one JSON array a line.

    The lines are `["predicted", N]`, `["there_before", N]` and `["failed", N]`; an empty collection
    has no line.
    """
    kinds = {"predicted": written, "there_before": there, "failed": bad}
    named = [
        collection | f"{name} is one" >> beam.Map(lambda _, name=name: name)
        for name, collection in kinds.items()
    ]
    counted = named | beam.Flatten() | beam.combiners.Count.PerElement() | beam.Map(json.dumps)
    write_lines(counted, path, "write counts")


def _read_counts(path: pathlib.Path) -> dict[str, int]:
    found = dict(json.loads(line) for line in path.read_text().splitlines())
    return {name: found.get(name, 0) for name in ("predicted", "there_before", "failed")}


def _finish(out: pathlib.Path, counts: dict[str, int], report: Callable[[str], None]) -> None:
    """Reports how many images were predicted; raises `DeeplabError` where some were not."""
    total, done = sum(counts.values()), counts["predicted"] + counts["there_before"]
    before = f", {counts['there_before']} of them before" if counts["there_before"] else ""
    report(f"{done} of {total} images predicted into {out}{before}")
    if counts["failed"]:
        raise DeeplabError(
            f"{counts['failed']} of {total} images could not be predicted: "
            f"{format_failures(out / FAILED_FILE)}"
        )
