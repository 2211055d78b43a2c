"""Predictions of millions of images as an Apache Beam pipeline, from files or records.

The runner's workers list, read, predict and write the files. The name of each output is made only
of the name of its image, an output is whole or absent, and an output that exists is not made again.
A stopped job can therefore go on, and a part that a runner does twice leaves the same files.
"""

import dataclasses
import functools
import json
import math
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
from deeplab_tf.images.suffixes import IMAGE_SUFFIXES
from deeplab_tf.images.video import VIDEO_SUFFIXES
from deeplab_tf.inference.batches import BATCH_SIZE, Picture, Predicted
from deeplab_tf.inference.beam_steps import (
    CORRUPT,
    FAILED,
    Collection,
    Failure,
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
    WRITES,
    check_reserved,
    is_failures,
    job_folder,
    model_digest,
    write_job,
)
from deeplab_tf.prediction.labelme_json import write_names
from deeplab_tf.prediction.outputs import SUFFIXES, image_outputs, is_geotiff
from deeplab_tf.prediction.pictures import read_picture
from deeplab_tf.prediction.write_outputs import Writer
from deeplab_tf.prediction.writes import Writes

THERE = "there"
"""The tag of the names whose outputs existed before the job."""
AGAIN = "again"
"""The tag of the names whose outputs the job had made when a part of the work was done again."""
BEAM_WRITES = Writes(("labels",))
"""What is written where nothing else is asked for: overlays cost as much as the network."""
COUNTS_FILE = "counts"
COUNTED = ("predicted", "there_before", "failed")
"""What becomes of an image; the counts in `job.json`."""
LISTED = "listed"
"""The count of the files that the workers found."""
CUT_SHORT = "cut_short"
"""The count of the failures that stand for the rest of a record file."""


@dataclasses.dataclass(frozen=True)
class Named:
    """An image to predict.

    Attributes:
        stem: the name of its outputs below the folder, without suffix, as `a/NAME`.
        image: the image file; None for a record.
    """

    stem: str
    image: str | None = None


@dataclasses.dataclass(frozen=True)
class Outputs:
    """The outputs of each image.

    Attributes:
        out: the folder.
        kinds: the kinds of files, as `Writes.outputs` has them.
        begun: when the job began, in nanoseconds of the clock that dates files in `out`.
    """

    out: pathlib.Path
    kinds: tuple[str, ...] = ("labels",)
    begun: float = math.inf

    def are_there(self, stem: str, is_geo: bool) -> str | None:
        """Returns `THERE` or `AGAIN` where all outputs of an image exist, else None."""
        paths = image_outputs(stem, is_geo, self.out, self.kinds).values()
        if not all(path.is_file() for path in paths):
            return None
        last = max(path.stat().st_mtime_ns for path in paths)
        return THERE if last < self.begun else AGAIN


@dataclasses.dataclass(frozen=True)
class ImageFiles:
    """Image files: one, a folder's, or a glob pattern's.

    The labels of `root/a/NAME.jpg` become `a/NAME.png`.
    """

    pattern: str
    kinds = tuple(kind for kind in SUFFIXES)
    """The outputs that image files can have."""

    def identity(self) -> dict[str, object]:
        return {"images below": str(root_of(self.pattern).resolve())}

    def check(self) -> None:
        if next(walk_images(self.pattern), None) is None:
            raise no_image(self.pattern)

    def count(self, out: pathlib.Path) -> int:
        """Returns the number of files that are there now, without those below `out`."""
        return sum(1 for _ in _named_files(self.pattern, out))

    def check_counts(self, counts: dict[str, int], before: int) -> None:
        """Checks the counts of a job against the files that its workers listed.

        Files that come while the job lasts are listed or not.

        Raises:
            DeeplabError: the counts do not add up to the files, or the workers listed fewer than
                `before`, the number at the start.
        """
        if counts[LISTED] < before:
            raise DeeplabError(
                f"the workers must see the {before} images that were there at the start. Listed: "
                f"{counts[LISTED]}; files were removed, or a worker does not see all: run the "
                "same command again"
            )
        if _total(counts) != counts[LISTED]:
            raise _wrong_counts(counts, counts[LISTED])

    def pictures(
        self, pipeline: beam.Pipeline, outputs: Outputs, image_format: ImageFormat
    ) -> tuple[Collection, dict[str, Collection]]:
        """Returns the pictures, and the collections that are counted beside what becomes of them.

        The workers have working folders of their own, so they get an absolute pattern.
        """
        files = (
            pipeline
            | beam.Create([str(pathlib.Path.cwd() / self.pattern)])
            | beam.FlatMap(functools.partial(_named_files, out=outputs.out))
        )
        # Images with the same output come together, and Beam deals all out to the workers.
        named = files | beam.GroupByKey()
        read = named | beam.ParDo(_ReadImage(outputs, image_format)).with_outputs(
            THERE, AGAIN, FAILED, main="read"
        )
        return read, {LISTED: files}


@dataclasses.dataclass(frozen=True)
class RecordImages:
    """The images of a prepared split, `dataset/split`; the labels of ID become `ID.png`."""

    name: str
    split: SplitFiles
    fingerprint: str
    kinds = tuple(kind for kind in SUFFIXES if kind != "labelme")
    """The outputs that records can have; Labelme needs image files."""

    def identity(self) -> dict[str, object]:
        return {"records": self.name, "fingerprint": self.fingerprint}

    def check(self) -> None:
        """Does nothing: the records are open already."""

    def count(self, out: pathlib.Path) -> int:
        """Returns the number of examples in the split."""
        return self.split.num_examples

    def check_counts(self, counts: dict[str, int], before: int) -> None:
        """Raises `DeeplabError` where the counts of a job do not add up to `before`, the examples.

        The rest of a corrupt record file is one failure, for which the job has an error; only this
        may stand for any number of examples.
        """
        read = _total(counts) - counts[CUT_SHORT]
        if read > before or (read < before and not counts[CUT_SHORT]):
            raise _wrong_counts(counts, before)

    def pictures(
        self, pipeline: beam.Pipeline, outputs: Outputs, image_format: ImageFormat
    ) -> tuple[Collection, dict[str, Collection]]:
        """Returns the pictures, and the collections that are counted beside what becomes of them.

        `Failure`s are counted as `CUT_SHORT` too where they stand for the rest of a file.
        """
        files = record_files(pipeline, self.split)
        read = files | beam.ParDo(_ReadSplit(outputs, image_format)).with_outputs(
            THERE, AGAIN, FAILED, main="read"
        )
        return read, {CUT_SHORT: read[FAILED] | beam.Filter(_is_cut_short)}


def predict_by_beam(
    runner: BeamRunner,
    model: Model,
    inputs: ImageFiles | RecordImages,
    out: pathlib.Path,
    batch_size: int = BATCH_SIZE,
    report: Callable[[str], None] = print,
    writes: Writes = BEAM_WRITES,
) -> None:
    """Predicts all `inputs` into `out`, and reports how many.

    A bad input is left out, and a stopped job goes on.

    `out` gets the files of `writes` for each image, `failed.jsonl` with all that could not be read,
    and `job.json`, which reserves the folder for this model and these inputs and gets the counts at
    the end.

    Args:
        runner: the runner of Beam, which `BeamRunner.check` has passed; its workers see the files
            of all absolute paths as this process does.
        model: the model that the workers load.
        inputs: image files or records.
        out: a folder that is new, empty or of the same job.
        batch_size: the images of one size that go through the network together.
        report: gets one line that says how many images were predicted, and one that says at which
            size the network sees large images.
        writes: what is written of each image, but nothing that is one file of all images.

    Raises:
        DeeplabError: at the end, where images could not be read, and the message names the first;
            or before, where there is nothing to predict, or `out` or the runner does not fit. Also
            where the model was changed in the meantime, and where the counts of what was predicted,
            was there and failed are not those of the inputs.
    """
    shown, out = out, out.absolute()  # the workers have working folders of their own
    model = dataclasses.replace(model, path=model.path.absolute())
    writes.check()
    writes.refuse("--runner", inputs.kinds, "predict image files, without --runner")
    inputs.check()
    check_reserved(out)  # before the model is loaded
    predictor = model.load()  # only for what it takes
    writes.check_model(predictor)
    if predictor.working.note:
        report(predictor.working.note)
    digest = model_digest(model.path)
    job = {
        "model": digest,
        "inference": _given(model.overrides),
        WRITES: _changed(writes),
        **inputs.identity(),
    }
    with job_folder(out, job) as writing:
        before = inputs.count(out)
        with runner.pipeline() as pipeline:
            begun = writing.stat().st_mtime_ns
            outputs = Outputs(out, tuple(writes.outputs), begun)
            read, counted = inputs.pictures(pipeline, outputs, predictor.image_format)
            writer = Writer.of(predictor, writes, out, within=writing, durable=True)
            if "labelme" in writes.outputs:
                write_names(out, predictor.classes, writing)
            written, bad = (
                read["read"]
                | RunInference(PredictorHandler(model, batch_size, writes.wanted))
                | beam.FlatMap(functools.partial(_write, writer=writer)).with_outputs(
                    FAILED, main="written"
                )
            )
            failures = (read[FAILED], bad) | "all failures" >> beam.Flatten()
            write_failures(failures, writing / FAILED_FILE)
            predicted = (written, read[AGAIN]) | "all predicted" >> beam.Flatten()
            counted |= dict(zip(COUNTED, (predicted, read[THERE], failures), strict=True))
            _write_counts(counted, writing / COUNTS_FILE)
        found = _read_counts(writing / COUNTS_FILE)
        if model_digest(model.path) != digest:
            raise DeeplabError(f"{model.path} was changed while it predicted; give another --out")
        with whole_file(out / FAILED_FILE, is_failures) as temporary:
            (writing / FAILED_FILE).rename(temporary)
        inputs.check_counts(found, before)
        counts = {name: found[name] for name in COUNTED}
        write_job(out, {**job, **counts})
    _finish(shown, counts, report)


def _given(overrides: dict[str, Any]) -> dict[str, Any]:
    """Returns the `overrides` that are not None, with values as they are read back from JSON."""
    given = {name: value for name, value in overrides.items() if value is not None}
    return json.loads(json.dumps(given))


def _changed(writes: Writes) -> dict[str, Any]:
    """Returns the fields of `writes` that differ from `BEAM_WRITES`, as JSON gives them back."""
    fields, usual = dataclasses.asdict(writes), dataclasses.asdict(BEAM_WRITES)
    return _given({name: each for name, each in fields.items() if each != usual[name]})


def _named_files(pattern: str, out: pathlib.Path) -> Iterator[tuple[str, str]]:
    """Yields (name of the outputs, image) for each file of `pattern` that is not below `out`."""
    root = root_of(pattern)
    below = out.resolve()
    for path in walk_images(pattern, IMAGE_SUFFIXES + VIDEO_SUFFIXES):
        if not path.resolve().is_relative_to(below):
            yield str(path.relative_to(root).with_suffix("")), str(path)


class _ReadImage(beam.DoFn):
    """A step from (name, images of that name) to a picture; two images or more are failures."""

    def __init__(self, outputs: Outputs, image_format: ImageFormat):
        self._outputs = outputs
        self._image_format = image_format

    def process(self, element: tuple[str, Iterable[str]]) -> Iterator[Any]:
        name, paths = element[0], sorted(element[1])
        if len(paths) > 1:
            for path in paths:
                others = ", ".join(other for other in paths if other != path)
                yield failed(
                    path,
                    f"the outputs of this file and of {others} would have one name, {name}; "
                    "predict into two folders",
                )
            return
        path = pathlib.Path(paths[0])
        if path.suffix.lower() in VIDEO_SUFFIXES:
            yield failed(str(path), "the file is a video; predict videos without --runner")
        elif there := self._outputs.are_there(name, is_geotiff(path)):
            yield beam.pvalue.TaggedOutput(there, name)
        else:
            try:
                yield read_picture(Named(name, str(path)), path, self._image_format)
            except DeeplabError as error:
                yield failed(str(path), str(error))


class _ReadSplit(ReadRecords):
    """A step from a record file to pictures, and to the names whose outputs exist already."""

    def __init__(self, outputs: Outputs, image_format: ImageFormat):
        super().__init__(image_format)
        self._outputs = outputs

    def example(self, name: str, encoded: dict[str, Any]) -> Any:
        if name.startswith("/") or ".." in pathlib.PurePath(name).parts:
            return failed(
                f"record {name!r}",
                "the record's id must name a file inside the folder of the predictions",
            )
        if there := self._outputs.are_there(name, is_geo=False):
            return beam.pvalue.TaggedOutput(there, name)
        return Picture(Named(name), self.image_of(encoded))


def _write(done: Predicted[Named], writer: Writer) -> Iterator[Any]:
    """Writes the outputs and yields their name; another worker may be writing the same ones."""
    name, image = done.picture.source.stem, done.picture.source.image
    try:
        writer.write(done, name, pathlib.Path(image) if image else None)
    except DeeplabError as error:
        yield failed(image or f"record {name!r}", str(error))
    else:
        yield name


def _is_cut_short(failure: Failure) -> bool:
    return failure.reason == CORRUPT


def _write_counts(kinds: dict[str, Collection], path: pathlib.Path) -> None:
    """Writes the sizes of the collections to `path`, one JSON array a line.

    A line is as `["predicted", N]`; an empty collection has no line.
    """
    named = [
        collection | f"{name} is one" >> beam.Map(lambda _, name=name: name)
        for name, collection in kinds.items()
    ]
    counted = named | beam.Flatten() | beam.combiners.Count.PerElement() | beam.Map(json.dumps)
    write_lines(counted, path, "write counts")


def _total(counts: dict[str, int]) -> int:
    return sum(counts[name] for name in COUNTED)


def _wrong_counts(counts: dict[str, int], inputs: int) -> DeeplabError:
    parts = ", ".join(f"{counts[name]} {name.replace('_', ' ')}" for name in COUNTED)
    return DeeplabError(
        f"{inputs} images must be predicted, be there before or fail. Received from the runner: "
        f"{parts}; the runner lost or doubled some: run the same command again, or "
        "without --runner"
    )


def _read_counts(path: pathlib.Path) -> dict[str, int]:
    found = dict(json.loads(line) for line in path.read_text().splitlines())
    return {name: found.get(name, 0) for name in (*COUNTED, LISTED, CUT_SHORT)}


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
