"""Where the images, the masks and the splits of a folder are, found by the names of its folders.

Tested in tests/data/sources/test_describe_folder.py, through `propose`.
"""

import collections
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from deeplab_tf.data.sources.folder_files import (
    LIST_SUFFIXES,
    TABLE_SUFFIXES,
    files_by_stem,
    read_pairs,
    subfolders,
)
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.suffixes import walk_files

IMAGE_FOLDERS = (
    "images", "image", "imgs", "img", "jpegimages", "photos", "rgb", "pictures", "frames",
)  # fmt: skip
MASK_FOLDERS = (
    "masks", "mask", "labels", "label", "annotations", "annotation", "annot", "segmentationclass",
    "segmentation", "segmentations", "seg", "gt", "gts", "groundtruth", "ground_truth", "targets",
    "labelids", "semantic",
)  # fmt: skip
SPLITS = {
    "train": "train", "training": "train", "trainval": "trainval",
    "val": "val", "valid": "val", "validation": "val", "dev": "val", "eval": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
"""The split that a word in a name means."""
VAL_SHARE = 0.1
_LIST_WORDS = {"list", "ids", "split", "set", "files", "images", "names", "filenames", "index"}


@dataclasses.dataclass(frozen=True)
class Layout:
    """The folders and splits of a data set, as fields of a `Description`.

    Attributes:
        images, masks: folders relative to the root; a `*` stands for the folder of a split.
        splits: the folder or list of each split, or the share for validation.
    """

    images: str
    masks: str
    splits: dict[str, str] | dict[str, float]


def find_layout(root: Path) -> Layout:
    """Finds the folders of images and masks below `root`, and the splits.

    The splits are folders below both, or folders that have both, or lists, or else a share of the
    images for validation.

    Raises:
        DeeplabError: there are no such folders, several that it could be, or a split that is in
            only one of both; or a list names an image that is not there.
    """
    images, masks = _role(root, IMAGE_FOLDERS), _role(root, MASK_FOLDERS)
    if len(images) == len(masks) == 1:
        folders = _split_folders(images[0], masks[0])
        splits = folders or _lists(root, images[0], masks[0]) or {"val_share": VAL_SHARE}
        return Layout(images[0].name, masks[0].name, splits)
    by_split = _split_first(root)
    if by_split:
        return by_split
    what, names, found = (
        ("images", IMAGE_FOLDERS, images) if len(images) != 1 else ("masks", MASK_FOLDERS, masks)
    )
    there = ", ".join(path.name for path in found) if found else "none"
    raise DeeplabError(
        f"{root} must have one folder of {what}, called {', '.join(names[:-1])} or {names[-1]}, or "
        f"such folders for each split, as train/images and train/masks; found: {there}; move the "
        "files into such folders, or rename the folders"
    )


def split_of(name: str) -> str | None:
    """Returns the split that the name of a folder means, as `val` for `Validation`, or None."""
    return SPLITS.get(name.lower())


def _role(root: Path, names: tuple[str, ...]) -> list[Path]:
    """Returns the folders in `root` with one of `names`; of several, those that have images."""
    found = [path for name, path in subfolders(root).items() if name in names]
    if len(found) > 1:
        found = [path for path in found if files_by_stem(path)] or found
    return found


def _split_folders(images: Path, masks: Path) -> dict[str, str]:
    """Returns the folders of the splits below `images`; empty where no name is that of a split."""
    of_images, of_masks = subfolders(images), subfolders(masks)
    if not any(split_of(name) for name in of_images):
        return {}
    splits: dict[str, str] = {}
    for name, path in of_images.items():
        split = split_of(name) or re.sub(r"\W", "_", name)
        if not files_by_stem(path):
            continue
        if name not in of_masks and split != "test":
            raise DeeplabError(
                f"{path} has no folder of masks beside it: {masks / path.name} is missing; give "
                "the folders of a split one name"
            )
        _add(splits, split, path.name, images)
    return splits


def _add(splits: dict[str, str], split: str, where: str, folder: Path) -> None:
    other = splits.setdefault(split, where)
    if other != where:
        raise DeeplabError(
            f"{folder}: {other} and {where} are both the split {split}; merge or rename one"
        )


def _split_first(root: Path) -> Layout | None:
    """Returns the layout where each split has folders of images and masks of its own.

    The folders are `train/images` and `train/masks`, or `train_images` and `train_masks`, or
    `train` and `train_masks`.
    """
    roles = {"images": IMAGE_FOLDERS, "masks": MASK_FOLDERS, "": ("",)}
    found: dict[str, dict[str, dict[str, str]]] = {
        role: collections.defaultdict(dict) for role in roles
    }
    for path in _folders(root, depth=3):
        for pattern, rest, where in _without_split(path.relative_to(root).as_posix()):
            for role, names in roles.items():
                if rest in names:
                    found[role][pattern][where] = where
    images = found["images"] or found[""]
    pairs = [
        (of_images, of_masks)
        for of_images, image_splits in images.items()
        for of_masks, mask_splits in found["masks"].items()
        if all(where in mask_splits or split_of(where) == "test" for where in image_splits)
    ]
    if len(pairs) != 1:
        return None
    splits: dict[str, str] = {}
    for where in sorted(images[pairs[0][0]]):
        _add(splits, SPLITS[where.lower()], where, root)
    return Layout(*pairs[0], splits)


def _folders(root: Path, depth: int) -> Iterator[Path]:
    for path in subfolders(root).values():
        yield path
        if depth > 1:
            yield from _folders(path, depth - 1)


def _without_split(path: str) -> Iterator[tuple[str, str, str]]:
    """Yields (pattern, rest, split folder) for a path with the word of a split.

    `a/train/images` gives `("a/*/images", "images", "train")`, and `train_masks` gives
    `("*_masks", "masks", "train")`; the rest is in lower case.
    """
    *above, last = path.split("/")
    if above and split_of(above[-1]):
        yield "/".join([*above[:-1], "*", last]), last.lower(), above[-1]
    for word in sorted(SPLITS, key=len, reverse=True):
        match = re.fullmatch(rf"(?:(.*?)[_\- ]?)?({word})(?:[_\- ]?(.*))?", last, re.IGNORECASE)
        if match and not (match[1] and match[3]):
            pattern = f"{last[: match.start(2)]}*{last[match.end(2) :]}"
            yield "/".join([*above, pattern]), (match[1] or match[3] or "").lower(), match[2]
            return


def _lists(root: Path, images: Path, masks: Path) -> dict[str, str]:
    """Returns the lists of the splits, in the order of `SPLITS`.

    Raises:
        DeeplabError: a line of a list names no image, a list is empty, or two lists of a split
            differ.
    """
    image_files, mask_files = files_by_stem(images), files_by_stem(masks)
    lists: dict[str, str] = {}
    contents: dict[str, list] = {}
    for file in walk_files(root):
        split = _split_of_list(file)
        if split is None:
            continue
        pairs = read_pairs(file, image_files, mask_files)
        if file.suffix.lower() in TABLE_SUFFIXES and all(pair.problem for pair in pairs):
            continue  # a table about something else
        wrong = next((pair.problem for pair in pairs if pair.problem), None)
        if wrong or not pairs:
            raise DeeplabError(wrong or f"list {file} is empty; fill or remove the file")
        where = file.relative_to(root).as_posix()
        if contents.setdefault(split, pairs) != pairs:
            raise DeeplabError(
                f"{root}: {lists[split]} and {where} are both lists of the split {split} and "
                "differ; remove one"
            )
        lists.setdefault(split, where)
    return {split: lists[split] for split in dict.fromkeys(SPLITS.values()) if split in lists}


def _split_of_list(file: Path) -> str | None:
    """Returns the split that a file lists by its name, as `val` for `val_list.txt`, or None."""
    if file.suffix.lower() not in LIST_SUFFIXES:
        return None
    words = re.split(r"[_\-. ]+", file.stem.lower())
    splits = [SPLITS[word] for word in words if word in SPLITS]
    others = {word for word in words if word not in SPLITS}
    return splits[0] if len(splits) == 1 and others <= _LIST_WORDS else None
