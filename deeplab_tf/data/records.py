"""The records of a prepared data set: found, opened, parsed.

A data set is a tfds folder `DATA_DIR/NAME/1.0.0` of TFRecords, which `tfds.builder_from_directory`
reads as well. A record holds `id`, the encoded `image` and the `mask` as a grey PNG of class ids,
255 for void.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds
from google.protobuf import json_format

from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.images.classes import DATA_SETS, SHAPES, VOID, Classes
from deeplab_tf.images.formats import RGB, ImageFormat

VERSION = "1.0.0"
RECORD_OVERHEAD = 16  # bytes that a TFRecord file adds to each record: length and checksums
FEATURES = {name: tf.io.FixedLenFeature((), tf.string) for name in ("id", "image", "mask")}


@dataclasses.dataclass(frozen=True)
class SplitFiles:
    """The TFRecord files of one split, in order, and how many examples they give together.

    Attributes:
        files: their paths.
        num_examples: of one epoch.
        repeats: by file, how often each of its records comes in an epoch; None is once each.
        image_format: what their images are.
    """

    files: list[str]
    num_examples: int
    repeats: tuple[tuple[int, ...], ...] | None = None
    image_format: ImageFormat = RGB

    @classmethod
    def of(cls, split: tfds.core.SplitInfo, image_format: ImageFormat) -> "SplitFiles":
        """Those of a split as tfds describes it."""
        files = [os.fspath(file) for file in split.filepaths]
        return cls(files, split.num_examples, image_format=image_format)


@dataclasses.dataclass(frozen=True)
class Records:
    """A prepared data set.

    Attributes:
        folder: where its files are.
        classes: its classes.
        splits: the record files by split.
        pixels: pixels by split: one number a class, then void.
        fingerprint: a sha256 in hex; equal means the same classes, splits, images and masks.
        image_format: what its images are.
    """

    folder: Path
    classes: Classes
    splits: dict[str, SplitFiles]
    pixels: dict[str, list[int]]
    fingerprint: str
    image_format: ImageFormat = RGB

    def split(self, name: str) -> SplitFiles:
        """The split `name`; raises `DeeplabError` listing the splits if there is no such one."""
        if name not in self.splits:
            raise DeeplabError(
                f"data set {self.classes.dataset} in {self.folder} has no split {name!r}; splits "
                f"are {', '.join(self.splits)}"
            )
        return self.splits[name]

    def labelled_split(self, name: str) -> SplitFiles:
        """As `split`; raises `DeeplabError` too where every pixel is void, as in a test set."""
        split = self.split(name)
        if not sum(self.pixels[name][:-1]):
            raise DeeplabError(
                f"split {name!r} of {self.classes.dataset} has no labelled pixel: its masks are "
                "not public, or void everywhere"
            )
        return split


def open_records(data_dir: str | Path, dataset: str) -> Records:
    """The data set that `deeplab-prepare` wrote under `data_dir`.

    Raises:
        DeeplabError: there is no such folder or data set, or a file of it is missing or broken.
    """
    data_dir = Path(data_dir)
    kind = dataset if dataset in DATA_SETS else "folder"
    source = "" if dataset == SHAPES.dataset else " --source=DIR"
    command = f"deeplab-prepare --dataset={kind}{source} --data_dir={data_dir}"
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
        image_format = ImageFormat.from_dict(metadata.get("image", {}))
        records = Records(
            folder=folder,
            classes=Classes.from_dict(metadata["labels"]),
            image_format=image_format,
            splits={
                name: SplitFiles.of(split, image_format) for name, split in info.splits.items()
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


def decode(encoded: dict[str, tf.Tensor], image_format: ImageFormat = RGB) -> dict[str, tf.Tensor]:
    """What `parse_encoded` gave, as `id`, `image` [H, W, bands] and `mask` uint8 [H, W]."""
    pixels = decode_image(encoded, image_format)
    return {"id": encoded["id"], "image": pixels, "mask": decode_mask(encoded)}


def decode_image(encoded: dict[str, tf.Tensor], image_format: ImageFormat = RGB) -> tf.Tensor:
    """The image of what `parse_encoded` gave, [H, W, bands]."""
    if image_format.is_rgb:
        # The accurate DCT gives Pillow's pixels to the last digit; this operation reads PNG too.
        return tf.io.decode_jpeg(encoded["image"], channels=3, dct_method="INTEGER_ACCURATE")
    flat = tf.io.decode_png(encoded["image"], channels=1, dtype=image_format.dtype)
    return tf.reshape(flat, [tf.shape(flat)[0], -1, image_format.bands])


def decode_mask(encoded: dict[str, tf.Tensor]) -> tf.Tensor:
    """The mask of what `parse_encoded` gave, uint8 [H, W]."""
    return tf.squeeze(tf.io.decode_png(encoded["mask"], channels=1), axis=-1)


def parse_record(serialized: tf.Tensor, image_format: ImageFormat = RGB) -> dict[str, tf.Tensor]:
    """A serialized record, decoded: `id`, `image` uint8 (or uint16) [H, W, bands] and `mask` uint8
    [H, W]."""
    return decode(parse_encoded(serialized), image_format)


def count_pixels(split: SplitFiles, num_classes: int) -> list[int]:
    """The pixels of each class, then void, over all masks of `split`."""

    def count(record: tf.Tensor) -> tf.Tensor:
        mask = tf.cast(decode_mask(parse_encoded(record)), tf.int32)
        return tf.math.bincount(tf.reshape(mask, [-1]), minlength=VOID + 1, dtype=tf.int64)

    counts = tf.data.TFRecordDataset(split.files).map(count, num_parallel_calls=tf.data.AUTOTUNE)
    total = counts.reduce(tf.zeros(VOID + 1, tf.int64), tf.add).numpy()
    return [*total[:num_classes].tolist(), int(total[VOID])]
