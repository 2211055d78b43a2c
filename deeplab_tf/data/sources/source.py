"""The description of a raw data set, as each reader of a raw data set returns it.

A `Source` has named splits of image and mask files, which are not yet opened.

Tested in tests/data/test_records.py and tests/data/sources/test_voc.py, through `voc_source`.
"""

import codecs
import dataclasses
import functools
import hashlib
import json
import re
from pathlib import Path

from deeplab_tf.config.image_format import RGB, ImageFormat
from deeplab_tf.data.sources.masks import Everywhere, Mask
from deeplab_tf.data.tiles import Tiling
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import Classes
from deeplab_tf.images.geotiff import TIFF


@dataclasses.dataclass(frozen=True)
class Pair:
    """One image file and its mask.

    Attributes:
        id: a name that is unique in a split.
        image: the image file.
        mask: the mask; None where there is none, as in a test set, and every pixel is void;
            `Everywhere` where every pixel of the image has one class.
    """

    id: str
    image: Path
    mask: Mask | Everywhere | None


@dataclasses.dataclass
class Source:
    """A raw data set on disk.

    Attributes:
        classes: the classes of the data set.
        splits: the pairs of each split, in the publisher's order; no split is empty.
        notes: lines for the user that say what was left out and why.
        image_format: the bands and bits of the images.
        tiling: the tiles into which each image is cut; None where each image is one example.
    """

    classes: Classes
    splits: dict[str, list[Pair]]
    notes: tuple[str, ...] = ()
    image_format: ImageFormat = RGB
    tiling: Tiling | None = None


def read_list(path: Path, name: str | None = None) -> list[str]:
    """Reads the ids in a file with one id on each line, such as the lists in VOC's ImageSets.

    Args:
        path: the file.
        name: the words for the file in an error; by default `list` and the path.

    Raises:
        DeeplabError: the file cannot be read.
    """
    lines = read_text(path, name or f"list {path}").splitlines()
    return [line.strip() for line in lines if line.strip()]


def read_text(path: Path, name: str) -> str:
    """Reads a file of UTF-8, or of UTF-16 where a byte order mark says so; the mark is dropped.

    Args:
        path: the file.
        name: the words for the file in an error.

    Raises:
        DeeplabError: the file cannot be read, or is no text.
    """
    try:
        data = path.read_bytes()
        utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return data.decode("utf-16" if utf_16 else "utf-8-sig")
    except (OSError, ValueError) as error:  # not UTF-8, or a path with a null character
        raise DeeplabError(f"{name} cannot be read: {error}") from error


def check_split_name(name: str, where: Path) -> None:
    """Raises `DeeplabError` for a split name that cannot be part of a record file's name."""
    # tfds uses "all" for the sum of the splits, so no split may have that name.
    if not re.fullmatch(r"\w+", name) or name == "all":
        raise DeeplabError(
            f"{where}: {name!r} cannot be the name of a split; use letters, digits and _, and not "
            f"'all'"
        )


def check_ids(pairs: list[Pair], listed_in: Path) -> None:
    """Raises `DeeplabError` that names an id which comes twice in `pairs`."""
    seen = set()
    for pair in pairs:
        if pair.id in seen:
            raise DeeplabError(f"{listed_in} lists {pair.id} twice; remove one")
        seen.add(pair.id)


def fingerprint(source: Source, record_format: int) -> str:
    """Returns a sha256 in hex over the classes, the splits and the bytes of every file.

    Sources with equal fingerprints give equal records.

    Args:
        source: the data set.
        record_format: the version of the record's layout, which is part of the fingerprint.

    Raises:
        OSError: a file is missing or cannot be read.
    """

    @functools.cache  # a file is often in several splits
    def image_digest(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()

    masks: dict[str, str] = {}

    def mask_digest(mask: Mask | Everywhere | None) -> str | None:
        if mask is None:
            return None
        name = str(mask)
        if name not in masks:
            masks[name] = mask.digest()
        return masks[name]

    content = {
        "record_format": record_format,
        "labels": source.classes.to_dict(),
        "splits": {
            name: [[pair.id, image_digest(pair.image), mask_digest(pair.mask)] for pair in pairs]
            for name, pairs in source.splits.items()
        },
    }
    # The usual image format, tiling and data everywhere do not enter the fingerprint, so that
    # records which were written before these existed stay valid.
    if not source.image_format.is_rgb:
        content["image"] = [source.image_format.bands, source.image_format.bits]
    if source.image_format.nodata is not None:
        content["nodata"] = source.image_format.nodata
    elif any(
        pair.image.suffix.lower() in TIFF for pairs in source.splits.values() for pair in pairs
    ):
        content["nodata"] = "as the files name it"
    if source.tiling:
        content["tiling"] = dataclasses.astuple(source.tiling)
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
