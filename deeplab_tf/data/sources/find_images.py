"""The image files of a labelling tool's export, found by the names that the tool wrote.

Tested in tests/data/sources/test_labelled.py.
"""

import collections
import contextlib
import itertools
import os
from collections.abc import Iterable
from pathlib import Path, PurePath, PurePosixPath

from deeplab_tf.data.sources.folder_files import without_suffix
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.suffixes import IMAGE_SUFFIXES


class ImageFinder:
    """The image files below a folder, without hidden ones."""

    def __init__(self, root: Path):
        self.root = root
        self.files = visible_files(root, IMAGE_SUFFIXES)
        self._by_name: dict[str, list[Path]] = collections.defaultdict(list)
        self._by_stem: dict[str, list[Path]] = collections.defaultdict(list)
        for path in self.files:
            self._by_name[path.name].append(path)
            self._by_stem[path.stem].append(path)

    def of_stem(self, stem: str) -> list[Path]:
        """Returns the image files of a name without suffix, in any folder."""
        return self._by_stem.get(stem, [])

    def find(self, name: str, places: Iterable[Path] = (), else_: Iterable[Path] = ()) -> Path:
        """Returns the file of the image that a tool calls `name`.

        The file is looked for below each of `places`, then at each path of `else_`, then by its
        name without folders, with or without a suffix, in the whole export. A file that is not
        found gets a path all the same, so that reading it raises an error that names the path.

        Args:
            name: a file name or a path, with slashes or backslashes.
            places: folders that a path may be relative to, the likeliest first.
            else_: other paths that the file may have.

        Raises:
            DeeplabError: several files have the name.
        """
        path = plain_path(name)
        tried = (*(Path(os.path.normpath(place / path)) for place in places), *else_)
        there = next((file for file in tried if is_file(file)), None)
        if there:
            return there
        found = self._by_name.get(path.name) or self._by_stem.get(path.name, [])
        # The longest common end of the paths decides between files of the same name.
        longest = max((_common_end(path, file) for file in found), default=0)
        ends = [file for file in found if _common_end(path, file) == longest]
        if len(ends) > 1:
            raise DeeplabError(
                f"image {name!r} could be {ends[0]} or {ends[1]}; give the images different names"
            )
        return ends[0] if ends else self.root / path

    def id_of(self, image: Path, name: str) -> str:
        """Returns the image's path in the export, or its name outside, without suffix."""
        try:
            relative = image.relative_to(self.root)
        except ValueError:
            relative = Path(plain_path(name).name)
        return without_suffix(relative.as_posix())


def _common_end(path: PurePath, file: PurePath) -> int:
    """Returns the number of parts at the end that two paths have in common."""
    parts = zip(reversed(path.parts), reversed(file.parts), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], parts))


def is_file(path: Path) -> bool:
    """Returns whether the path is a file; a name that no file can have is none."""
    with contextlib.suppress(OSError, ValueError):
        return path.is_file()
    return False


def plain_path(name: str) -> PurePosixPath:
    """Returns the path that a tool wrote on any system, with slashes; never an empty one."""
    path = PurePosixPath(name.replace("\\", "/").replace("\0", ""))
    return path if path.name else PurePosixPath("unnamed")


def visible_files(root: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Returns the sorted files below `root` that have one of `suffixes`, in small or large letters.

    Files and folders whose names begin with a dot, and `__MACOSX`, do not count.
    """
    found, entered = [], set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        # A link to a folder further up would be followed for ever.
        folders[:] = [] if real in entered else [name for name in folders if _is_visible(name)]
        names = [] if real in entered else names
        entered.add(real)
        found += [Path(folder, name) for name in names if _is_visible(name)]
    return sorted(path for path in found if path.suffix.lower() in suffixes and path.is_file())


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"
