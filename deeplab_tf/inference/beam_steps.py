"""Pipeline steps that prediction and evaluation by Apache Beam share.

The steps read records, collect failures and write lines.

Tested in tests/prediction/test_beam_predict.py.
"""

import dataclasses
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.io import WriteToText

from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.data.records import SplitFiles, decode_image, parse_encoded
from deeplab_tf.errors import one_line

Collection = Any
"""A PCollection of Beam, whose `|` has no type that a type checker could follow."""

FAILED = "failed"
"""The tag of the dead-letter output, the `Failure`s of what could not be read."""
CORRUPT = "the record file is corrupt"
"""The reason of the one failure that stands for the rest of a record file."""
SHOWN = 5
"""The number of failures that are named in the terminal; the file of failures has all."""


@dataclasses.dataclass(frozen=True)
class Failure:
    """An image or record that could not be processed (`source`), and why (`reason`)."""

    source: str
    reason: str


def failed(source: str, reason: str) -> beam.pvalue.TaggedOutput:
    """Returns a `Failure` for the dead-letter output."""
    return beam.pvalue.TaggedOutput(FAILED, Failure(source, reason))


class ReadRecords(beam.DoFn):
    """A step from a record file to the elements that `example` makes of the records.

    A record that cannot be decoded is a failure. Where the bytes of a file are broken, the rest of
    the file is one failure, since the beginning of the next record is not known.
    """

    def __init__(self, image_format: ImageFormat):
        self._image_format = image_format

    def example(self, name: str, encoded: dict[str, tf.Tensor]) -> Any:
        """Returns the element of the record with id `name` and these encoded features."""
        raise NotImplementedError

    def image_of(self, encoded: dict[str, tf.Tensor]) -> np.ndarray:
        """Returns the record's image, [H, W, bands]."""
        return decode_image(encoded, self._image_format).numpy()

    def process(self, file: str) -> Iterator[Any]:
        count = 0
        try:
            for record in tf.data.TFRecordDataset(file):
                yield self._element(file, count, record)
                count += 1
        except tf.errors.DataLossError:
            yield failed(f"{file} after record {count}", CORRUPT)

    def _element(self, file: str, number: int, record: tf.Tensor) -> Any:
        name = f"record {number}"
        try:
            encoded = parse_encoded(record)
            name = encoded["id"].numpy().decode()
            return self.example(name, encoded)
        except (tf.errors.InvalidArgumentError, UnicodeDecodeError) as error:
            return failed(f"{name} in {file}", reason_of(error))


def reason_of(error: Exception) -> str:
    """Returns the message of TensorFlow or Python, at most 200 characters in one line.

    The node of the graph, which TensorFlow puts before its message, is left out.
    """
    return one_line(str(error)).rpartition("}} ")[2][:200]


def record_files(pipeline: beam.Pipeline, split: SplitFiles) -> Collection:
    """Returns the paths of the split's files, free to go to any worker."""
    return pipeline | beam.Create(split.files) | beam.Reshuffle()


def write_lines(lines: Collection, path: pathlib.Path, label: str) -> None:
    """Writes strings to the one file `path`; Beam writes a temporary file and renames it."""
    _ = lines | label >> WriteToText(str(path), num_shards=1, shard_name_template="")


def write_failures(failures: Collection, path: pathlib.Path) -> None:
    """Writes one JSON object a line to `path`, with `source` and `reason`."""
    lines = failures | beam.Map(lambda failure: json.dumps(dataclasses.asdict(failure)))
    write_lines(lines, path, "write failures")


def format_failures(path: pathlib.Path) -> str:
    """Returns the first `SHOWN` failures in the file `path` as text for an error message.

    The text is empty where the file has no failure.
    """
    first, count = [], 0
    with path.open() as file:
        for line in file:
            count += 1
            if len(first) < SHOWN:
                failure = Failure(**json.loads(line))
                is_named = failure.source in failure.reason
                first.append(failure.reason if is_named else f"{failure.source}: {failure.reason}")
    more = f"; and {count - len(first)} more, in {path}" if count > len(first) else ""
    return "; ".join(first) + more
