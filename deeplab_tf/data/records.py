"""The records of a prepared data set, and the functions that open and parse them.

A data set is a tfds folder `DATA_DIR/NAME/1.0.0` of TFRecords, which `tfds.builder_from_directory`
reads as well. A record holds an `id`, the encoded `image`, and the `mask` as a grey PNG of class
ids, where 255 is void.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds
from google.protobuf import json_format

from deeplab_tf.config.image_format import RGB, ImageFormat
from deeplab_tf.data.sources.known import DATA_SETS
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.files import fetched_part
from deeplab_tf.images.classes import SHAPES, Classes

VERSION = "1.0.0"
RECORD_OVERHEAD = 16  # bytes that a TFRecord file adds to each record: length and checksums
Presence = tuple[tuple[int, ...], ...]
"""For each record file, one number a record, whose bit c says whether class c is in the mask."""
FEATURES = {name: tf.io.FixedLenFeature((), tf.string) for name in ("id", "image", "mask")}


@dataclasses.dataclass(frozen=True)
class SplitFiles:
    """The TFRecord files of one split, in order, and the number of examples in the files.

    Attributes:
        files: the paths of the files.
        num_examples: the number of examples in one epoch, repeated ones included.
        repeats: for each file, how often each record of the file comes in an epoch; None where
            every record comes once.
        image_format: the bands and bits of the images.
        present: the classes in each record; None where the data set's description lacks them.
    """

    files: list[str]
    num_examples: int
    repeats: tuple[tuple[int, ...], ...] | None = None
    image_format: ImageFormat = RGB
    present: Presence | None = None

    @classmethod
    def of(
        cls,
        split: tfds.core.SplitInfo,
        image_format: ImageFormat,
        present: list[list[str]] | None = None,
    ) -> "SplitFiles":
        """Makes a `SplitFiles` of the split that tfds describes.

        Args:
            split: the split.
            image_format: the bands and bits of the images.
            present: the classes in each record as `presence_to_json` writes them.

        Raises:
            ValueError: `present` is not of this split.
        """
        files = [os.fspath(file) for file in split.filepaths]
        if present is None:
            return cls(files, split.num_examples, image_format=image_format)
        bits = tuple(tuple(int(text, 16) for text in file) for file in present)
        if [*map(len, bits)] != split.shard_lengths:
            raise ValueError("the classes of the records are not of these records")
        return cls(files, split.num_examples, image_format=image_format, present=bits)


def presence_to_json(present: Presence) -> list[list[str]]:
    """Returns the classes in each record as hexadecimal texts, which `SplitFiles.of` reads."""
    return [[f"{bits:x}" for bits in file] for file in present]


@dataclasses.dataclass(frozen=True)
class Records:
    """A prepared data set.

    Attributes:
        folder: the folder of the record files, `DATA_DIR/NAME/1.0.0`.
        classes: the classes of the data set.
        splits: the record files of each split.
        pixels: for each split, the number of pixels of each class, then of void.
        fingerprint: a sha256 in hex; two data sets with equal fingerprints have the same classes,
            splits, images and masks.
        image_format: the bands and bits of the images, and the statistics of each band.
        longest_side: the longest side of all images, in pixels; 0 where the images are tiles, None
            where the records were written before this was recorded.
    """

    folder: Path
    classes: Classes
    splits: dict[str, SplitFiles]
    pixels: dict[str, list[int]]
    fingerprint: str
    image_format: ImageFormat = RGB
    longest_side: int | None = None

    def split(self, name: str) -> SplitFiles:
        """Returns the split `name`.

        Raises:
            DeeplabError: the data set has no split `name`; the message lists the splits.
        """
        if name not in self.splits:
            raise DeeplabError(
                f"data set {self.classes.dataset} in {self.folder} has no split {name!r}; splits "
                f"are {', '.join(self.splits)}"
            )
        return self.splits[name]

    def labelled_split(self, name: str) -> SplitFiles:
        """Returns the split `name`, which must have a pixel that is not void.

        Raises:
            DeeplabError: there is no split `name`, or every pixel of the split is void, as in a
                test set whose masks are not public.
        """
        split = self.split(name)
        if not sum(self.pixels[name][:-1]):
            raise DeeplabError(
                f"split {name!r} of {self.classes.dataset} has no labelled pixel: its masks are "
                "not public, or void everywhere"
            )
        return split


def open_records(data_dir: str | Path, dataset: str) -> Records:
    """Opens the data set `dataset` that `deeplab-prepare` wrote under `data_dir`.

    Raises:
        DeeplabError: the folder or the data set does not exist, or a file of the data set is
            missing or broken.
    """
    data_dir = fetched_part(Path(data_dir), dataset)
    kind = dataset if dataset in DATA_SETS else "folder"
    source = "" if dataset == SHAPES.dataset else " --source=DIR"
    command = f"deeplab-prepare --dataset={kind}{source} --data_dir={data_dir}"
    if not data_dir.is_dir():
        raise DeeplabError(f"data folder {data_dir} does not exist; write it with {command}")
    folder = data_dir / dataset / VERSION
    if not folder.is_dir():
        names = sorted(found.parent.name for found in data_dir.glob(f"*/{VERSION}"))
        there = f"the folder has {', '.join(names)}" if names else "the folder has no data set"
        raise DeeplabError(
            f"data folder {data_dir} has no data set {dataset!r} ({there}); write the data set "
            f"with {command}"
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
                name: SplitFiles.of(split, image_format, metadata.get("present", {}).get(name))
                for name, split in info.splits.items()
            },
            pixels=metadata["pixels"],
            fingerprint=metadata["fingerprint"],
            longest_side=metadata.get("longest_side"),
        )
    except (OSError, ValueError, KeyError, TypeError, json_format.ParseError) as error:
        raise DeeplabError(f"{folder} is damaged ({one_line(str(error))}); {again}") from error
    for name, split in info.splits.items():
        _check_files(records.splits[name], split.num_bytes, again)
    return records


def _check_files(split: SplitFiles, num_bytes: int, again: str) -> None:
    """Raises `DeeplabError` where a file of the split is missing or was cut.

    A cut file shows in the sum of the file sizes, which must be `num_bytes`, the size of the
    serialized records, plus the overhead of each record. `again` is the advice in the message.
    """
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
def naming_corrupt_file(*splits: SplitFiles) -> Iterator[None]:
    """Turns TensorFlow's error about a corrupt record into an error that names the file.

    The body of the `with` statement is the code that reads `splits`. An error of another cause
    passes unchanged.

    Raises:
        DeeplabError: a file of `splits` is corrupt.
    """
    try:
        yield
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        corrupt = find_corrupt_file([file for split in splits for file in split.files])
        if corrupt is None:
            raise
        raise DeeplabError(
            f"record file {corrupt} is corrupt; prepare the data set again with deeplab-prepare"
        ) from error


def find_corrupt_file(files: Sequence[str]) -> str | None:
    """Returns the first TFRecord file that is missing, cannot be read or fails its checksums.

    TensorFlow's `tf.errors.DataLossError` does not say which file is corrupt; this function reads
    all `files` to find out. The function returns None where every file is whole.
    """
    for file in files:
        try:
            for _ in tf.data.TFRecordDataset(file):
                pass
        except (tf.errors.DataLossError, tf.errors.NotFoundError):
            return file
    return None


def parse_encoded(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """Parses a serialized record into scalar strings: `id`, `image` (JPEG or PNG) and `mask`
    (PNG)."""
    return tf.io.parse_single_example(serialized, FEATURES)


def decode(encoded: dict[str, tf.Tensor], image_format: ImageFormat = RGB) -> dict[str, tf.Tensor]:
    """Decodes the result of `parse_encoded` into `id`, `image` [H, W, bands] of the
    format's dtype, and `mask` uint8 [H, W]."""
    pixels = decode_image(encoded, image_format)
    return {"id": encoded["id"], "image": pixels, "mask": decode_mask(encoded)}


def decode_image(encoded: dict[str, tf.Tensor], image_format: ImageFormat = RGB) -> tf.Tensor:
    """Decodes the image in the result of `parse_encoded`: [H, W, bands] of the format's dtype."""
    if image_format.is_rgb:
        # The accurate DCT makes the pixels exactly equal to Pillow's. The operation decodes PNG as
        # well as JPEG.
        return tf.io.decode_jpeg(encoded["image"], channels=3, dct_method="INTEGER_ACCURATE")
    # `encode_bands` stored the image as a grey picture of W * bands columns.
    flat = tf.io.decode_png(encoded["image"], channels=1, dtype=image_format.stored_dtype)
    height = tf.shape(flat)[0]
    if image_format.bits == 32:
        halves = tf.reshape(flat, [height, -1, image_format.bands, 2])
        return tf.bitcast(halves, tf.float32)
    return tf.reshape(flat, [height, -1, image_format.bands])


def decode_mask(encoded: dict[str, tf.Tensor]) -> tf.Tensor:
    """Decodes the mask in the result of `parse_encoded`: uint8 [H, W] of class ids and `VOID`."""
    return tf.squeeze(tf.io.decode_png(encoded["mask"], channels=1), axis=-1)


def parse_record(serialized: tf.Tensor, image_format: ImageFormat = RGB) -> dict[str, tf.Tensor]:
    """Parses and decodes a serialized record into `id`, `image` [H, W, bands] of the
    format's dtype, and `mask` uint8 [H, W]."""
    return decode(parse_encoded(serialized), image_format)


@tf.autograph.experimental.do_not_convert
def read_sides(serialized: tf.Tensor) -> tf.Tensor:
    """Returns (width, height), int32 [2] in pixels, of a serialized record, by its mask's head."""
    # A PNG has the width and the height, big-endian, at byte 16.
    sides = tf.strings.substr(parse_encoded(serialized)["mask"], 16, 8)
    return tf.io.decode_raw(sides, tf.int32, little_endian=False)


def find_longest_side(split: SplitFiles) -> int:
    """Returns the longest side of all images of `split`, in pixels."""
    records = tf.data.TFRecordDataset(split.files)
    sides = records.map(read_sides, num_parallel_calls=tf.data.AUTOTUNE)
    return int(tf.reduce_max(sides.reduce(tf.zeros([2], tf.int32), tf.maximum)).numpy())
