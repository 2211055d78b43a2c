"""What a reader of a raw data set hands over: named splits of image and mask files, unopened."""

import dataclasses
import functools
import hashlib
import json
import re
from pathlib import Path

from deeplab_tf.data.sources.masks import Mask
from deeplab_tf.data.tiles import Tiling
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import Classes
from deeplab_tf.images.formats import RGB, ImageFormat


@dataclasses.dataclass(frozen=True)
class Pair:
    """One image file and its mask; `id` is unique in a split.

    Without a mask, as the images of a test set, every pixel is void.
    """

    id: str
    image: Path
    mask: Mask | None


@dataclasses.dataclass
class Source:
    """A raw data set on disk.

    Attributes:
        classes: its classes.
        splits: split name to pairs, in the publisher's order; none is empty.
        notes: what was left out and why, a line each, for the user to read.
        image_format: what the images are.
        tiling: how each is cut into examples; None: it is one.
    """

    classes: Classes
    splits: dict[str, list[Pair]]
    notes: tuple[str, ...] = ()
    image_format: ImageFormat = RGB
    tiling: Tiling | None = None


def read_list(path: Path, name: str | None = None) -> list[str]:
    """The ids of a list such as those in VOC's ImageSets, one a line.

    Args:
        path: the file.
        name: what an error calls it.

    Raises:
        DeeplabError: it cannot be read.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DeeplabError(f"{name or f'list {path}'} cannot be read: {error}") from error
    return [line.strip() for line in lines if line.strip()]


def check_split_name(name: str, where: Path) -> None:
    """Raises `DeeplabError` for a name that cannot be part of a record file's name."""
    # "all" is tfds' word for the sum of the splits.
    if not re.fullmatch(r"\w+", name) or name == "all":
        raise DeeplabError(
            f"{where}: {name!r} cannot be the name of a split; use letters, digits and _, and not "
            f"'all'"
        )


def check_ids(pairs: list[Pair], listed_in: Path) -> None:
    """Raises `DeeplabError` naming an id that comes twice."""
    seen = set()
    for pair in pairs:
        if pair.id in seen:
            raise DeeplabError(f"{listed_in} lists {pair.id} twice; remove one")
        seen.add(pair.id)


def fingerprint(source: Source, record_format: int) -> str:
    """A sha256 in hex over the classes, the splits and the bytes of every file.

    Equal fingerprints give equal records. `record_format` is the version of the record's layout.

    Raises:
        OSError: a file is missing.
    """

    @functools.cache  # a file is often in several splits
    def image_digest(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()

    masks: dict[str, str] = {}

    def mask_digest(mask: Mask | None) -> str | None:
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
    # Only where they are not the usual ones: what was written before stays valid.
    if not source.image_format.is_rgb:
        content["image"] = [source.image_format.bands, source.image_format.bits]
    if source.tiling:
        content["tiling"] = dataclasses.astuple(source.tiling)
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
