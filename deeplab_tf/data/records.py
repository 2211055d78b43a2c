"""The records of a prepared data set: written, found, opened, parsed.

A data set is a tfds folder `DATA_DIR/NAME/1.0.0` of TFRecords, which `tfds.builder_from_directory`
reads as well. A record holds `id`, the encoded `image` and the `mask` as a grey PNG of class ids,
255 for void.
"""

import contextlib
import dataclasses
import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from google.protobuf import json_format
from tqdm import tqdm

from deeplab_tf.data.image_file import as_png, encode_png
from deeplab_tf.data.labels import SHAPES, VOID, LabelSet
from deeplab_tf.data.read_pair import read_pair
from deeplab_tf.data.source import Pair, Source, fingerprint
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.files import held_folder

VERSION = "1.0.0"
RECORD_FORMAT = 1
"""Goes into the fingerprint: a change of what a record holds must raise it."""

RECORD_OVERHEAD = 16  # bytes that a TFRecord file adds to each record: length and checksums
FEATURES = {name: tf.io.FixedLenFeature((), tf.string) for name in ("id", "image", "mask")}


@dataclasses.dataclass(frozen=True)
class SplitFiles:
    """The TFRecord files of one split, in order, and how many examples they give together.

    Attributes:
        files: their paths.
        num_examples: of one epoch.
        repeats: by file, how often each of its records comes in an epoch; None is once each.
    """

    files: list[str]
    num_examples: int
    repeats: tuple[tuple[int, ...], ...] | None = None


@dataclasses.dataclass(frozen=True)
class Records:
    """A prepared data set.

    Attributes:
        folder: where its files are.
        labels: its classes.
        splits: the record files by split.
        pixels: pixels by split: one number a class, then void.
        fingerprint: a sha256 in hex; equal means the same classes, splits, images and masks.
    """

    folder: Path
    labels: LabelSet
    splits: dict[str, SplitFiles]
    pixels: dict[str, list[int]]
    fingerprint: str

    def split(self, name: str) -> SplitFiles:
        """The split `name`; raises `DeeplabError` listing the splits if there is no such one."""
        if name not in self.splits:
            raise DeeplabError(
                f"data set {self.labels.dataset} in {self.folder} has no split {name!r}; splits "
                f"are {', '.join(self.splits)}"
            )
        return self.splits[name]

    def labelled_split(self, name: str) -> SplitFiles:
        """As `split`; raises `DeeplabError` too where every pixel is void, as in a test set."""
        split = self.split(name)
        if not sum(self.pixels[name][:-1]):
            raise DeeplabError(
                f"split {name!r} of {self.labels.dataset} has no labelled pixel: its masks are not "
                "public, or void everywhere"
            )
        return split


def open_records(data_dir: str | Path, dataset: str) -> Records:
    """The data set that `deeplab-prepare` wrote under `data_dir`.

    Raises:
        DeeplabError: there is no such folder or data set, or a file of it is missing or broken.
    """
    data_dir = Path(data_dir)
    source = "" if dataset == SHAPES.dataset else " --source=DIR"
    command = f"deeplab-prepare --dataset={dataset}{source} --data_dir={data_dir}"
    if not data_dir.is_dir():
        raise DeeplabError(f"data folder {data_dir} does not exist; write it with {command}")
    folder = data_dir / dataset / VERSION
    if not folder.is_dir():
        names = sorted(found.parent.name for found in data_dir.glob(f"*/{VERSION}"))
        there = f"it has {', '.join(names)}" if names else "it has none"
        raise DeeplabError(
            f"data folder {data_dir} has no data set {dataset!r} ({there}); write it with {command}"
        )
    again = f"delete the folder and write it again with {command}"
    try:
        info = tfds.builder_from_directory(folder).info
        metadata = dict(info.metadata or {})
        records = Records(
            folder=folder,
            labels=LabelSet.from_dict(metadata["labels"]),
            splits={
                name: SplitFiles([os.fspath(file) for file in split.filepaths], split.num_examples)
                for name, split in info.splits.items()
            },
            pixels=metadata["pixels"],
            fingerprint=metadata["fingerprint"],
        )
    except (OSError, ValueError, KeyError, TypeError, json_format.ParseError) as error:
        raise DeeplabError(f"{folder} is damaged ({one_line(str(error))}); {again}") from error
    for name, split in info.splits.items():
        _check_files(records.splits[name], split.num_bytes, again)
    return records


def _check_files(split: SplitFiles, num_bytes: int, again: str) -> None:
    """Raises `DeeplabError` for a missing file or, by the sum of their sizes, a cut one."""
    for file in split.files:
        if not os.path.isfile(file):
            raise DeeplabError(f"record file {file} is missing; {again}")
    held = sum(os.path.getsize(file) for file in split.files)
    wanted = num_bytes + RECORD_OVERHEAD * split.num_examples
    if held != wanted:
        file = find_corrupt_file(split.files) or split.files[0]
        raise DeeplabError(
            f"record file {file} is corrupt: its split has {held} bytes instead of {wanted}; "
            f"{again}"
        )


@contextlib.contextmanager
def naming_corrupt_file(split: SplitFiles) -> Iterator[None]:
    """Turns TensorFlow's error over a corrupt record, while `split` is read, into one that names
    the file.

    Raises:
        DeeplabError: a file of `split` is corrupt. Any other error passes as it is.
    """
    try:
        yield
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        corrupt = find_corrupt_file(split.files)
        if corrupt is None:
            raise
        raise DeeplabError(
            f"record file {corrupt} is corrupt; prepare the data set again with deeplab-prepare"
        ) from error


def find_corrupt_file(files: Sequence[str]) -> str | None:
    """The first TFRecord file whose records cannot be read or fail their checksums, or None.

    To be called when `tf.errors.DataLossError` has said that there is one but not which.
    """
    for file in files:
        try:
            for _ in tf.data.TFRecordDataset(file):
                pass
        except (tf.errors.DataLossError, tf.errors.NotFoundError):
            return file
    return None


def parse_encoded(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """A serialized record as scalar strings `id`, `image` (JPEG or PNG) and `mask` (PNG)."""
    return tf.io.parse_single_example(serialized, FEATURES)


def decode(encoded: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """What `parse_encoded` gave, as `id`, `image` uint8 [H, W, 3] and `mask` uint8 [H, W]."""
    return {
        "id": encoded["id"],
        # The accurate DCT gives Pillow's pixels to the last digit; this operation reads PNG too.
        "image": tf.io.decode_jpeg(encoded["image"], channels=3, dct_method="INTEGER_ACCURATE"),
        "mask": decode_mask(encoded),
    }


def decode_mask(encoded: dict[str, tf.Tensor]) -> tf.Tensor:
    """The mask of what `parse_encoded` gave, uint8 [H, W]."""
    return tf.squeeze(tf.io.decode_png(encoded["mask"], channels=1), axis=-1)


def parse_record(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """A serialized record, decoded: `id`, `image` uint8 [H, W, 3] and `mask` uint8 [H, W]."""
    return decode(parse_encoded(serialized))


def write_records(source: Source, data_dir: str | Path) -> tuple[Records, bool]:
    """Writes `source` under `data_dir`, unless it is there already; every file of it is checked.

    The records are built in a folder beside and moved into place when complete, so that
    whatever stops the build, `open_records` sees the former state or the new one or no data set.

    Returns:
        The records, and whether they were written now.

    Raises:
        DeeplabError: a file of the source is bad, or another process is writing the same data set.
    """
    data_dir = Path(data_dir)
    if data_dir.exists() and not data_dir.is_dir():
        raise DeeplabError(f"data folder {data_dir} is a file; give a folder")
    mark = fingerprint(source, RECORD_FORMAT)
    name = source.labels.dataset
    folder = data_dir / name
    with contextlib.suppress(DeeplabError):
        records = open_records(data_dir, name)
        if records.fingerprint == mark:
            return records, False
    with held_folder(folder, f"{folder} is being written by another deeplab-prepare"):
        _build(source, mark, folder)
    return open_records(data_dir, name), True


def _build(source: Source, mark: str, folder: Path) -> None:
    """Builds in a folder inside `folder`, then puts the result in the place of the former one."""
    for leftover in folder.glob("incomplete-*"):
        shutil.rmtree(leftover)
    staging = Path(tempfile.mkdtemp(prefix="incomplete-", dir=folder))
    try:
        builder = _Builder(source, mark, staging)
        # tfds prints lines about downloads and has bars that fill a log file; ours are below.
        tfds.disable_progress_bar()
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
        final = folder / VERSION
        if final.exists():
            final.rename(staging / "replaced")
        Path(builder.data_dir).rename(final)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Writes a `Source` through tfds; the order in a split is that of the ids' hashes."""

    VERSION = tfds.core.Version(VERSION)
    # Where tfds would look for checksums of downloads. There are none, and the search needs
    # importlib_resources, which tfds 4.9.10 does not install.
    code_path = None

    def __init__(self, source: Source, mark: str, data_dir: Path):
        self.name = source.labels.dataset
        self._source = source
        self._pixels = {}
        self._metadata = tfds.core.MetadataDict(
            labels=source.labels.to_dict(), fingerprint=mark, pixels=self._pixels
        )
        super().__init__(data_dir=data_dir)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "id": tfds.features.Text(),
            "image": tfds.features.Image(shape=(None, None, 3)),
            "mask": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="Images and masks of class ids; 255 is void.",
            features=tfds.features.FeaturesDict(features),
            metadata=self._metadata,
        )

    def _split_generators(self, dl_manager) -> dict:
        return {
            split: self._generate_examples(split, pairs)
            for split, pairs in self._source.splits.items()
        }

    def _generate_examples(self, split: str, pairs: list[Pair]) -> Iterator[tuple[str, dict]]:
        num_classes = self._source.labels.num_classes
        pixels = np.zeros(VOID + 1, np.int64)
        for pair in tqdm(pairs, desc=split, unit="image", disable=None):
            image, mask = read_pair(pair)
            if not _tensorflow_reads(image, mask.shape):
                image = as_png(image)
            pixels += np.bincount(mask.ravel(), minlength=VOID + 1)
            yield pair.id, {"id": pair.id, "image": image, "mask": encode_png(mask)}
        self._pixels[split] = [*pixels[:num_classes].tolist(), int(pixels[VOID])]


def _tensorflow_reads(image: bytes, shape: tuple[int, ...]) -> bool:
    """Whether TensorFlow reads the image too: it refuses a PNG that lost its last bytes, in which
    Pillow finds every pixel."""
    try:
        return tuple(tf.io.decode_jpeg(image, channels=3).shape[:2]) == shape
    except tf.errors.InvalidArgumentError:
        return False
