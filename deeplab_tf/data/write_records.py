"""The writing of a raw data set as records, by a tfds builder.

The images are read and checked in processes of this machine, or by Apache Beam.
"""

import contextlib
import functools
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds
from tqdm import tqdm

from deeplab_tf.config.image_format import RGB, ImageFormat
from deeplab_tf.data.mask_counts import count_masks
from deeplab_tf.data.read_pair import encode_examples
from deeplab_tf.data.records import (
    VERSION,
    Records,
    SplitFiles,
    find_longest_side,
    open_records,
    presence_to_json,
)
from deeplab_tf.data.sources.source import Pair, Source, fingerprint
from deeplab_tf.distributed.beam import BeamRunner
from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import (
    Ours,
    any_of,
    containing,
    folder_of,
    held_folder,
    json_with,
    whole_folder,
)
from deeplab_tf.images.files import as_png
from deeplab_tf.parallel import CHUNK, in_processes

RECORD_FORMAT = 1
"""The version of a record's content, which is part of the fingerprint.

A change of what a record holds must raise the number, so that older records are written again.
"""


Encode = Callable[[Pair], list[tuple[str, bytes, bytes]]]
"""A function from a pair to the pair's examples: tuples of id, encoded image and encoded mask."""

Store = Callable[[str, bytes, bytes], tuple[str, dict]]
"""A function from an example to its key and its features."""


def written_before(source: Source, data_dir: str | Path) -> Records | None:
    """Returns the records of exactly this source, or None where they are missing or damaged."""
    if not (Path(data_dir) / source.classes.dataset / VERSION).is_dir():
        return None  # the answer is known without the fingerprint, which reads every file
    with contextlib.suppress(OSError):  # `fingerprint` found a file of the source missing
        return _records_of(fingerprint(source, RECORD_FORMAT), source, data_dir)
    return None


def _records_of(mark: str, source: Source, data_dir: str | Path) -> Records | None:
    """Returns the records under the source's name where they have the fingerprint `mark`.

    The function returns None where the records are missing, damaged or those of other files.
    """
    with contextlib.suppress(DeeplabError):
        records = open_records(data_dir, source.classes.dataset)
        return records if records.fingerprint == mark else None
    return None


def write_records(
    source: Source,
    data_dir: str | Path,
    workers: int | None = None,
    runner: BeamRunner | None = None,
) -> tuple[Records, bool]:
    """Writes `source` under `data_dir` unless the same records exist, and checks every file.

    The records are built in a temporary folder and moved into place when complete. Whatever stops
    the build, `open_records` finds the old records, the new records or no data set. The examples
    and their order depend only on the source, and not on the number of workers or on Beam; the
    bytes of a record may differ, since the features in a record have no order.

    Args:
        source: the data set.
        data_dir: the folder that gets a folder with the name of the data set.
        workers: the number of processes that read and check; by default one for each core.
        runner: the Apache Beam runner that writes the records instead of processes of this machine;
            the workers of the runner must see the source's files and `data_dir` under the same
            paths, which are absolute where the workers have other working folders.

    Returns:
        The records, and whether this call wrote them.

    Raises:
        DeeplabError: a file of the source cannot be used, another process is writing the same data
            set, the folder of the records has other files, or `runner` lost examples.
    """
    data_dir = Path(data_dir)
    if data_dir.exists() and not data_dir.is_dir():
        raise DeeplabError(f"data folder {data_dir} is a file; give a folder")
    mark = fingerprint(source, RECORD_FORMAT)
    before = _records_of(mark, source, data_dir)
    if before:
        return before, False
    folder = data_dir / source.classes.dataset
    with (
        held_folder(folder, f"{folder} is being written by another deeplab-prepare"),
        whole_folder(folder / VERSION, are_records(source.classes.dataset)) as temporary,
    ):
        staging = temporary / "building"
        for file in _build(source, mark, staging, workers, runner).iterdir():
            os.replace(file, temporary / file.name)
        shutil.rmtree(staging)  # has empty folders of tfds
    return open_records(data_dir, source.classes.dataset), True


def are_records(dataset: str) -> Ours:
    """Recognises the folder of the records of `dataset`, damaged ones too."""
    names = ("dataset_info.json", "features.json", "metadata.json", f"{dataset}-*.tfrecord-*")
    return any_of(
        folder_of(*names, known={"metadata.json": json_with("labels", "fingerprint")}),
        folder_of(*names, known={"features.json": containing(b'"id"', b'"image"', b'"mask"')}),
    )


def _build(
    source: Source, mark: str, staging: Path, workers: int | None, runner: BeamRunner | None
) -> Path:
    """Writes the complete records in the folder `staging` and returns the folder of the records."""
    builder = _Builder(source, mark, staging, workers, by_beam=runner is not None)
    # tfds prints lines about downloads and progress bars that fill a log file, so its output is
    # dropped; `_generate_examples` shows a bar of its own.
    tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare(download_config=_download_config(runner))
    _check_counts(builder, source, "" if runner is None else "; run again without --runner")
    folder = Path(builder.data_dir)
    # The pixels are counted in the written records, so that the reported numbers are those of the
    # records and not of the source.
    for name, split in builder.info.splits.items():
        files = SplitFiles.of(split, source.image_format)
        counts = count_masks(files, source.classes.num_classes)
        builder.pixels[name] = counts.pixels
        builder.present[name] = presence_to_json(counts.present)
    builder.facts["longest_side"] = 0 if source.tiling else _longest_side(builder, source)
    builder.info.write_to_directory(folder)
    return folder


def _check_counts(builder: "_Builder", source: Source, advice: str) -> None:
    """Checks that no example was lost or doubled on the way; of tiles only the least number.

    Args:
        builder: has written the records.
        source: the data set.
        advice: what to do, at the end of the message.

    Raises:
        DeeplabError: a split has another number of examples than of images.
    """
    for name, pairs in source.splits.items():
        written, least = builder.info.splits[name].num_examples, len(pairs)
        if written < least or (written > least and source.tiling is None):
            raise DeeplabError(
                f"split {name} must have the examples of {least} images. Written: {written}, so "
                f"some were lost or doubled{advice}"
            )


def _longest_side(builder: "_Builder", source: Source) -> int:
    splits = [SplitFiles.of(split, source.image_format) for split in builder.info.splits.values()]
    return max(map(find_longest_side, splits))


def _download_config(runner: BeamRunner | None) -> tfds.download.DownloadConfig | None:
    if runner is None:
        return None
    runner.check()
    options = runner.pipeline_options()
    return tfds.download.DownloadConfig(beam_runner=runner.runner(), beam_options=options)


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A tfds builder that writes a `Source`.

    The examples of a split are written in the order of the hashes of their ids.
    """

    VERSION = tfds.core.Version(VERSION)
    # tfds searches this path for checksums of downloads. The builder has no downloads, and the
    # search needs importlib_resources, which tfds 4.9.10 does not install; None prevents the
    # search.
    code_path = None

    def __init__(
        self, source: Source, mark: str, data_dir: Path, workers: int | None, by_beam: bool
    ):
        self.name = source.classes.dataset
        self._source = source
        self._workers = workers
        self._by_beam = by_beam
        self.pixels: dict[str, list[int]] = {}
        self.present: dict[str, list[list[str]]] = {}
        self.facts = tfds.core.MetadataDict(
            labels=source.classes.to_dict(),
            image=source.image_format.to_dict(),
            fingerprint=mark,
            pixels=self.pixels,
            present=self.present,
        )
        super().__init__(data_dir=data_dir)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "id": tfds.features.Text(),
            "image": self._image_feature(),
            "mask": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="Images and masks of class ids; 255 is void.",
            features=tfds.features.FeaturesDict(features),
            metadata=self.facts,
        )

    def _image_feature(self) -> tfds.features.Image:
        image_format = self._source.image_format
        if image_format.is_rgb:
            return tfds.features.Image(shape=(None, None, 3))
        return tfds.features.Image(
            shape=(None, None, 1), dtype=image_format.stored_dtype, encoding_format="png"
        )

    def _split_generators(self, dl_manager) -> dict:
        encode = functools.partial(
            encode_examples, image_format=self._source.image_format, tiling=self._source.tiling
        )
        generate = _beam_examples if self._by_beam else self._generate_examples
        store = functools.partial(stored_example, image_format=self._source.image_format)
        return {s: generate(s, pairs, encode, store) for s, pairs in self._source.splits.items()}

    def _generate_examples(
        self, split: str, pairs: list[Pair], encode: Encode, store: Store
    ) -> Iterator[tuple[str, dict]]:
        # The tiles of all images in a chunk are in memory together, so a process takes one huge
        # image at a time.
        chunk = 1 if self._source.tiling else CHUNK
        encoded = in_processes(encode, pairs, self._workers, chunk)
        for examples in tqdm(encoded, desc=split, unit="image", total=len(pairs), disable=None):
            yield from (store(*example) for example in examples)


def _beam_examples(split: str, pairs: list[Pair], encode: Encode, store: Store):
    """Returns a Beam transform that makes the examples of a split on the runner's workers."""
    import apache_beam

    return (
        f"pairs of {split}" >> apache_beam.Create(pairs)
        | apache_beam.FlatMap(encode)
        | apache_beam.MapTuple(store)
    )


def stored_example(
    name: str, image: bytes, mask: bytes, image_format: ImageFormat = RGB
) -> tuple[str, dict]:
    """Returns the key and the features of an example, with an image that TensorFlow can decode.

    Raises:
        DeeplabError: TensorFlow cannot decode the bands of the image.
    """
    if not _tensorflow_reads(image):
        if not image_format.is_rgb:
            # An RGB PNG in its place would lose bands and bits without a word.
            raise DeeplabError(f"TensorFlow cannot decode the bands of example {name}")
        image = as_png(image)
    return name, {"id": name, "image": image, "mask": mask}


def _tensorflow_reads(image: bytes) -> bool:
    """Returns whether TensorFlow decodes the image.

    TensorFlow refuses some damaged files that Pillow decodes, as a JPEG with a stray marker.
    """
    try:
        tf.io.decode_jpeg(image, channels=3)
    except tf.errors.InvalidArgumentError:
        return False
    return True
