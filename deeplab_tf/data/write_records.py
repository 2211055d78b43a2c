"""Writes a raw data set as records, by a tfds builder: in processes of this machine, or by Beam."""

import contextlib
import functools
import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds
from tqdm import tqdm

from deeplab_tf.data.read_pair import encode_examples
from deeplab_tf.data.records import VERSION, Records, SplitFiles, count_pixels, open_records
from deeplab_tf.data.sources.source import Pair, Source, fingerprint
from deeplab_tf.distributed.beam import BeamRunner
from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import held_folder
from deeplab_tf.images.files import as_png
from deeplab_tf.parallel import CHUNK, in_processes

RECORD_FORMAT = 1
"""Goes into the fingerprint: a change of what a record holds must raise it."""


Encode = Callable[[Pair], list[tuple[str, bytes, bytes]]]
"""A pair to its examples: id, encoded image, encoded mask."""


def written_before(source: Source, data_dir: str | Path) -> Records | None:
    """The records of exactly this source under `data_dir`, if they are there and whole."""
    if not (Path(data_dir) / source.classes.dataset / VERSION).is_dir():
        return None  # without reading every file of the source
    with contextlib.suppress(OSError):  # a file of it is missing
        return _records_of(fingerprint(source, RECORD_FORMAT), source, data_dir)
    return None


def _records_of(mark: str, source: Source, data_dir: str | Path) -> Records | None:
    """The records of that fingerprint under the source's name, if they are there and whole."""
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
    """Writes `source` under `data_dir`, unless it is there already; every file of it is checked.

    The records are built in a folder beside and moved into place when complete, so that
    whatever stops the build, `open_records` sees the former state or the new one or no data set.
    The examples and their order depend on the source alone, not on who writes them; the bytes of a
    record do not, since its features have no order.

    Args:
        source: the data set.
        data_dir: gets a folder of its name.
        workers: processes that read and check; default: one a core.
        runner: writes by Apache Beam instead; its workers must see the files and `data_dir` under
            the same paths.

    Returns:
        The records, and whether they were written now.

    Raises:
        DeeplabError: a file of the source is bad, or another process is writing the same data set.
    """
    data_dir = Path(data_dir)
    if data_dir.exists() and not data_dir.is_dir():
        raise DeeplabError(f"data folder {data_dir} is a file; give a folder")
    mark = fingerprint(source, RECORD_FORMAT)
    before = _records_of(mark, source, data_dir)
    if before:
        return before, False
    folder = data_dir / source.classes.dataset
    with held_folder(folder, f"{folder} is being written by another deeplab-prepare"):
        for leftover in folder.glob("incomplete-*"):
            shutil.rmtree(leftover)
        staging = Path(tempfile.mkdtemp(prefix="incomplete-", dir=folder))
        try:
            built = _build(source, mark, staging, workers, runner)
            final = folder / VERSION
            if final.exists():
                final.rename(staging / "replaced")
            built.rename(final)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return open_records(data_dir, source.classes.dataset), True


def _build(
    source: Source, mark: str, staging: Path, workers: int | None, runner: BeamRunner | None
) -> Path:
    """The folder of the complete records, in `staging`."""
    builder = _Builder(source, mark, staging, workers, by_beam=runner is not None)
    # tfds prints lines about downloads and has bars that fill a log file; ours are below.
    tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare(download_config=_download_config(runner))
    folder = Path(builder.data_dir)
    # Counted in the records themselves: what is told is what is there.
    builder.pixels.update(
        {
            name: count_pixels(
                SplitFiles.of(split, source.image_format), source.classes.num_classes
            )
            for name, split in builder.info.splits.items()
        }
    )
    builder.info.write_to_directory(folder)
    return folder


def _download_config(runner: BeamRunner | None) -> tfds.download.DownloadConfig | None:
    if runner is None:
        return None
    options = runner.pipeline_options()
    return tfds.download.DownloadConfig(beam_runner=runner.name, beam_options=options)


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Writes a `Source` through tfds; the order in a split is that of the ids' hashes."""

    VERSION = tfds.core.Version(VERSION)
    # Where tfds would look for checksums of downloads. There are none, and the search needs
    # importlib_resources, which tfds 4.9.10 does not install.
    code_path = None

    def __init__(
        self, source: Source, mark: str, data_dir: Path, workers: int | None, by_beam: bool
    ):
        self.name = source.classes.dataset
        self._source = source
        self._workers = workers
        self._by_beam = by_beam
        self.pixels: dict[str, list[int]] = {}
        self._metadata = tfds.core.MetadataDict(
            labels=source.classes.to_dict(),
            image=source.image_format.to_dict(),
            fingerprint=mark,
            pixels=self.pixels,
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
            metadata=self._metadata,
        )

    def _image_feature(self) -> tfds.features.Image:
        image_format = self._source.image_format
        if image_format.is_rgb:
            return tfds.features.Image(shape=(None, None, 3))
        return tfds.features.Image(
            shape=(None, None, 1), dtype=image_format.dtype, encoding_format="png"
        )

    def _split_generators(self, dl_manager) -> dict:
        encode = functools.partial(
            encode_examples, image_format=self._source.image_format, tiling=self._source.tiling
        )
        generate = _beam_examples if self._by_beam else self._generate_examples
        return {s: generate(s, pairs, encode) for s, pairs in self._source.splits.items()}

    def _generate_examples(
        self, split: str, pairs: list[Pair], encode: Encode
    ) -> Iterator[tuple[str, dict]]:
        # The tiles of a few huge images are enough for the memory.
        chunk = 1 if self._source.tiling else CHUNK
        encoded = in_processes(encode, pairs, self._workers, chunk)
        for examples in tqdm(encoded, desc=split, unit="image", total=len(pairs), disable=None):
            yield from (stored_example(*example) for example in examples)


def _beam_examples(split: str, pairs: list[Pair], encode: Encode):
    """A transform that gives the examples, on the runner's workers."""
    import apache_beam

    return (
        f"pairs of {split}" >> apache_beam.Create(pairs)
        | apache_beam.FlatMap(encode)
        | apache_beam.MapTuple(stored_example)
    )


def stored_example(name: str, image: bytes, mask: bytes) -> tuple[str, dict]:
    """Its key and its features."""
    if not _tensorflow_reads(image):
        image = as_png(image)
    return name, {"id": name, "image": image, "mask": mask}


def _tensorflow_reads(image: bytes) -> bool:
    """Whether TensorFlow reads the image too: it refuses some JPEGs with a stray marker, of which
    Pillow has a picture."""
    try:
        tf.io.decode_jpeg(image, channels=3)
    except tf.errors.InvalidArgumentError:
        return False
    return True
