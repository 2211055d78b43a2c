"""A data set of your own: a folder of images, a folder of masks, and a `dataset.json`.

`description.py` has the content of the file. A folder may be a link. Hidden files do not count.
"""

import dataclasses
import errno
import glob
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.data.sources.description import DESCRIPTION_FILE, Description, read_description
from deeplab_tf.data.sources.folder_files import (
    LIST_SUFFIXES,
    Files,
    files_by_stem,
    read_pairs,
    subfolders,
)
from deeplab_tf.data.sources.folder_naming import Pattern
from deeplab_tf.data.sources.mask_files import MASK_SUFFIXES
from deeplab_tf.data.sources.masks import Everywhere, LayeredMask, Mask
from deeplab_tf.data.sources.source import Pair, Source, check_ids, check_split_name
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.suffixes import IMAGE_SUFFIXES, passed_over, walk_files


def folder_source(root: str | Path) -> Source:
    """Returns the data set that `root/dataset.json` describes.

    An image of a split whose name begins with `test` needs no mask.

    Raises:
        DeeplabError: the description is missing or wrong, a folder or list in the description is
            missing, or a split has no image or an id twice.
    """
    return described_source(Path(root), read_description(Path(root)))


def described_source(root: Path, description: Description) -> Source:
    """Returns the data set in `root` that `description` describes; errors as `folder_source`."""
    file = root / DESCRIPTION_FILE
    splits, notes, masks_used, images_used = {}, [], set(), set()
    meaning = _Meaning(description)
    listings = list(_listings(root, description))
    for listing in listings:
        check_split_name(listing.split, file)
        pairs = []
        for name, image, mask in listing.images:
            pair = meaning.pair(listing, name, image, mask)
            pairs += [pair] if pair else []
            images_used.add(image)
        if not pairs:
            raise DeeplabError(f"{file}: split {listing.split!r} has no image")
        check_ids(pairs, listing.listed_in)
        masks_used |= meaning.used
        splits[listing.split] = pairs
        notes += listing.notes
    notes += meaning.notes()
    notes += _unused(root, description, images_used, masks_used)
    return Source(
        description.colored_classes(),
        splits,
        notes=tuple(dict.fromkeys(notes)),
        image_format=ImageFormat(description.bands, description.bits, nodata=description.nodata),
    )


@dataclasses.dataclass(frozen=True)
class MissingMask:
    """The mask of an image that has none, though the split needs masks; `read` raises the error.

    Attributes:
        image: the image file.
        path: the file that the mask would be.
    """

    image: Path
    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> np.ndarray:
        """Raises the `DeeplabError` for a missing mask."""
        raise DeeplabError(
            f"image {self.image} has no mask: {self.path} is missing; add the file, or choose in "
            f'{DESCRIPTION_FILE} "unlabelled": "background" (the first class everywhere) or "skip"'
        )

    def digest(self) -> str:
        """Raises `FileNotFoundError`."""
        raise FileNotFoundError(errno.ENOENT, "no such file", str(self.path))


@dataclasses.dataclass(frozen=True)
class _Listing:
    """The files of one split.

    Attributes:
        split: the name of the split.
        images: the id, the image file and, where a list names it, the mask of each pair.
        masks: the folder of the masks.
        mask_files: the masks below this folder by stem.
        listed_in: the file or folder that lists the images, for messages.
        notes: lines for the user.
    """

    split: str
    images: Sequence[tuple[str, Path, Path | None]]
    masks: Path
    mask_files: Files
    listed_in: Path
    notes: tuple[str, ...] = ()


class _Meaning:
    """Makes the pairs of a description, and counts the images without a mask."""

    def __init__(self, description: Description):
        self._description = description
        self._mask_of = description.mask_of()
        self._pattern = Pattern("", description.mask_prefix, description.mask_suffix)
        ids = {name: index for index, name in enumerate(description.classes)}
        layers = description.layers or {}
        self._layers = [(Pattern.parse(text), ids[name]) for text, name in layers.items()]
        self._without: list[Path] = []
        self.used: set[Path] = set()

    def pair(self, listing: _Listing, name: str, image: Path, listed: Path | None) -> Pair | None:
        """Returns the pair of an image, or None where the image is to be left out."""
        mask = self._mask(listing, name, listed)
        if mask or listing.split.startswith("test"):
            return Pair(name, image, mask)
        if image.is_file():
            self._without.append(image)
        match self._description.unlabelled:
            case "background":
                return Pair(name, image, Everywhere(0))
            case "skip":
                return None
        pattern = self._layers[0][0] if self._layers else self._pattern
        return Pair(name, image, MissingMask(image, listing.masks / f"{pattern.mask(name)}.png"))

    def notes(self) -> list[str]:
        """Returns a line about the images without a mask, or an empty list where all have one."""
        if not self._without:
            return []
        done = {
            "error": f'"unlabelled" in {DESCRIPTION_FILE} says what they are: "background", "skip" '
            'or "error"',
            "skip": "they are left out",
            "background": f"every pixel of them is {self._description.classes[0]}",
        }
        count = len(self._without)
        subject = "1 image has" if count == 1 else f"{count:,} images have"
        first = f"no mask (the first is {self._without[0]})"
        return [f"{subject} {first}; {done[self._description.unlabelled]}"]

    def _mask(self, listing: _Listing, name: str, listed: Path | None) -> Mask | None:
        if self._layers:
            return self._layered(listing, name)
        path = listed or listing.mask_files.get(self._pattern.mask(name))
        if path is None:
            return None
        self.used.add(path)
        return self._mask_of(path)

    def _layered(self, listing: _Listing, name: str) -> Mask | None:
        stems = [(pattern.mask(name), label) for pattern, label in self._layers]
        there = [(listing.mask_files.get(stem), label) for stem, label in stems]
        layers = tuple((path, label) for path, label in there if path)
        self.used.update(path for path, _ in layers)
        return LayeredMask(layers, background=0) if layers else None


def _listings(root: Path, description: Description) -> Iterator[_Listing]:
    """Yields the files of each split."""
    if "*" in description.images:
        yield from _by_split_folder(root, description)
        return
    file = root / DESCRIPTION_FILE
    images, masks = root / description.images, root / description.masks
    for folder in (images, masks):
        if not folder.is_dir():
            raise DeeplabError(f"{file} names {folder}, which is no folder")
    image_files, mask_files = files_by_stem(images), files_by_stem(masks, MASK_SUFFIXES)
    if "val_share" in description.splits:
        share = float(description.splits["val_share"])
        yield from _by_share(share, image_files, masks, mask_files, images)
        return
    for split, where in description.splits.items():
        where = str(where)
        if where.lower().endswith(LIST_SUFFIXES):
            yield _by_list(split, root / where, images, image_files, masks, mask_files)
        elif (images / where).is_dir():
            inside = _below(masks, where)
            yield _in_folder(split, images / where, inside)
        else:
            raise DeeplabError(
                f"{file}: split {split!r} is {where!r}, but there is no folder {images / where}; a "
                f"list of ids must end in {', '.join(LIST_SUFFIXES)}"
            )


def _by_split_folder(root: Path, description: Description) -> Iterator[_Listing]:
    for split, where in description.splits.items():
        images = root / description.images.replace("*", str(where))
        if not images.is_dir():
            raise DeeplabError(
                f"{root / DESCRIPTION_FILE}: split {split!r} is {where!r}, but there is no folder "
                f"{images}"
            )
        yield _in_folder(split, images, root / description.masks.replace("*", str(where)))


def _in_folder(split: str, images: Path, masks: Path) -> _Listing:
    listed = [(stem, path, None) for stem, path in files_by_stem(images).items()]
    mask_files = files_by_stem(masks, MASK_SUFFIXES) if masks.is_dir() else {}
    return _Listing(split, listed, masks, mask_files, images)


def _below(folder: Path, where: str) -> Path:
    """Returns `folder/where`, or the folder whose name differs from it only in case."""
    there = subfolders(folder).get(where.lower())
    return there if there and not (folder / where).is_dir() else folder / where


def _by_list(
    split: str, file: Path, images: Path, image_files: Files, masks: Path, mask_files: Files
) -> _Listing:
    pairs = read_pairs(file, image_files, mask_files)
    # A listed image that does not exist gets a path all the same, so that reading the image raises
    # an error that names the file.
    listed = [(pair.id, pair.image or images / f"{pair.id}.jpg", pair.mask) for pair in pairs]
    problems = tuple(pair.problem for pair in pairs if pair.problem)
    return _Listing(split, listed, masks, mask_files, file, problems)


def _by_share(
    share: float, image_files: Files, masks: Path, mask_files: Files, images: Path
) -> Iterator[_Listing]:
    if len(image_files) < 2:
        raise DeeplabError(
            f"{images} needs two images or more, one to train on and one for validation. "
            f"Received: {len(image_files)}"
        )
    val = validation_part(list(image_files), share)
    part: dict[str, list] = {"train": [], "val": []}
    for name, path in image_files.items():
        part["val" if name in val else "train"].append((name, path, None))
    few = ()
    if len(val) != sum(is_validation(name, share) for name in image_files):
        few = (
            f"{len(val)} of the {len(image_files)} images {'is' if len(val) == 1 else 'are'} for "
            f"validation, so that no split is empty; their names give a share of {share:g} all or "
            "none",
        )
    for split, listed in part.items():
        yield _Listing(split, listed, masks, mask_files, images, few if split == "val" else ())


def validation_part(names: list[str], share: float) -> set[str]:
    """Returns the names of the images for validation, at least one, and not all of two or more."""
    val = {name for name in names if is_validation(name, share)}
    if len(names) > 1 and not val:
        return {min(names, key=_place)}
    if len(names) > 1 and len(val) == len(names):
        return val - {max(names, key=_place)}
    return val


def is_validation(name: str, share: float) -> bool:
    """Returns whether an image belongs to the `share` of images for validation.

    Only the image's `name` decides, so that an image keeps its split when other images are added.
    """
    return _place(name) < share * 2**64


def _place(name: str) -> int:
    """Returns a number below 2^64 that only the name decides."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def _unused(
    root: Path, description: Description, images_used: set[Path], masks_used: set[Path]
) -> Iterator[str]:
    """Yields lines about the files that no split has, and those that are not read as images."""
    images = list(_files(root, description.images))
    others = passed_over(images)
    if others:
        yield others
    yield from _count(
        [p for p in images if p.suffix.lower() in IMAGE_SUFFIXES and p not in images_used],
        "image is in no split",
        "images are in no split",
    )
    yield from _count(
        [
            path
            for path in _files(root, description.masks)
            if path.suffix.lower() in MASK_SUFFIXES and path not in masks_used
        ],
        "mask belongs to no image of a split",
        "masks belong to no image of a split",
    )


def _files(root: Path, folder: str) -> list[Path]:
    """Returns the files in `folder`, in which `*` stands for the name of any folder."""
    folders = [root / folder]
    if "*" in folder and not Path(folder).is_absolute():
        folders = sorted(root.glob(glob.escape(folder).replace("[*]", "*")))
    return [path for folder in folders if folder.is_dir() for path in walk_files(folder)]


def _count(paths: list[Path], one: str, many: str) -> list[str]:
    """Returns a line that counts the paths, or an empty list where there are none."""
    subject = f"1 {one}" if len(paths) == 1 else f"{len(paths):,} {many}"
    return [f"{subject}; the first is {paths[0]}"] if paths else []
