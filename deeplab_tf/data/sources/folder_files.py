"""The images and masks in a folder by name, and the lists that name them."""

import collections
import dataclasses
import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path

from deeplab_tf.data.sources.source import read_text
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.suffixes import IMAGE_SUFFIXES, is_hidden, is_image, walk_files

TABLE_SUFFIXES = (".csv", ".tsv")
LIST_SUFFIXES = (".txt", ".lst", *TABLE_SUFFIXES)
"""The suffixes of lists of images, which no folder of a split has."""
_HEAD = re.compile(r"\W*((images?|masks?|labels?|file|path|name|id)[_ ]?)+\W*", re.IGNORECASE)

Files = Mapping[str, Path]
"""Files by stem: the path below a folder, without suffix, with `/` and composed accents (NFC)."""


def files_by_stem(folder: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> dict[str, Path]:
    """Finds the files below `folder` that have one of `suffixes`, in lower or upper case.

    Hidden files and folders do not count; links to folders are followed.

    Returns:
        The sorted files, each under its path relative to `folder`, without suffix.

    Raises:
        DeeplabError: two files differ only in the suffix.
    """
    by_stem: dict[str, Path] = {}
    for path in walk_files(folder):
        if not is_image(path, suffixes):
            continue
        stem = _composed(path.relative_to(folder).with_suffix("").as_posix())
        other = by_stem.setdefault(stem, path)
        if other is not path:
            raise DeeplabError(
                f"{other} and {path} must not differ only in the suffix; keep one of the two files"
            )
    return by_stem


def subfolders(folder: Path) -> dict[str, Path]:
    """Returns the folders in `folder` that are not hidden, sorted, by name in lower case."""
    found = sorted(path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name))
    return {path.name.lower(): path for path in found}


@dataclasses.dataclass(frozen=True)
class ListedPair:
    """One line of a list.

    Attributes:
        id: the stem of the image; for an image that is not there, the name on the line.
        image: the image file; None where there is none.
        mask: the mask file that the line names, or None where the line names only the image.
        problem: the list, the line and what is wrong with the line; None where nothing is.
    """

    id: str
    image: Path | None
    mask: Path | None
    problem: str | None = None


def read_pairs(file: Path, images: Files, masks: Files) -> list[ListedPair]:
    """Reads a list of images, or of images with their masks, one on a line.

    A line has the name of an image, with or without suffix and folders; a mask may follow after
    spaces, a tab, a comma or a semicolon. The head of a table (`image,mask`) is passed over.
    Folders on a line that are not folders below the images do not count where the rest names only
    one image.

    Raises:
        DeeplabError: the file cannot be read.
    """
    lines = read_text(file, f"list {file}").splitlines()
    if lines and file.suffix.lower() in TABLE_SUFFIXES:
        cells = re.split(r"[,;\t]", lines[0])
        lines[0] = "" if all(_HEAD.fullmatch(cell) for cell in cells) else lines[0]
    named_images, named_masks = _Names(images), _Names(masks)
    pairs = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            pairs.append(_pair(f"{file}, line {number}", line.strip(), named_images, named_masks))
    return pairs


def _pair(where: str, line: str, images: "_Names", masks: "_Names") -> ListedPair:
    stem = images.find(line)
    if stem is not None:
        return ListedPair(stem, images.files[stem], None)
    only_image = None
    for gap in re.finditer(r"[\s,;]+", line):
        stem, mask = images.find(line[: gap.start()]), masks.find(line[gap.end() :])
        if stem is not None and mask is not None:
            return ListedPair(stem, images.files[stem], masks.files[mask])
        only_image = only_image or (stem and line[gap.end() :])
    if only_image:
        problem = f"{where}: {only_image!r} is no mask; correct the line, or name only the image"
    else:
        problem = f"{where}: {line!r} is no image; correct or remove the line"
    return ListedPair(without_suffix(line), None, None, problem)


class _Names:
    """The stems of files, by the ways in which a list may write them."""

    def __init__(self, files: Files):
        self.files = files
        self._by_end = collections.defaultdict(list)
        for stem in files:
            for end in (stem, *_without_folders(stem)):
                self._by_end[end].append(stem)

    def find(self, text: str) -> str | None:
        """Returns the stem that `text` names, or None where it names none or several."""
        text = _composed(text.strip().strip("\"'").replace("\\", "/"))
        for name in (text, without_suffix(text)):
            if name in self.files:
                return name
            if len(self._by_end.get(name, ())) == 1:
                return self._by_end[name][0]
            for shorter in _without_folders(name):
                # A folder that is cut off could have told two files of one end apart.
                if shorter in self.files and len(self._by_end[shorter]) == 1:
                    return shorter
        return None


def _without_folders(name: str) -> Iterator[str]:
    """Yields `name` without its first folder, without its first two, and so on."""
    while "/" in name:
        name = name.partition("/")[2]
        yield name


def without_suffix(line: str) -> str:
    """Returns the id on a line of a list; the line may have the suffix of an image."""
    stem, dot, suffix = line.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in IMAGE_SUFFIXES else line


def _composed(name: str) -> str:
    """Returns a name with composed accents; macOS writes file names with separate ones."""
    return unicodedata.normalize("NFC", name)
