"""The image files of a labelling tool's export, found by the names that the tool wrote.

Tested in tests/data/sources/test_labelled.py.
"""

import collections
import contextlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from deeplab_tf.data.sources.folder import without_suffix
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.files import IMAGE_SUFFIXES


class ImageFinder:
    """The image files below a folder, without hidden ones."""

    def __init__(self, root: Path):
        self.root = root
        self.files = visible_files(root, IMAGE_SUFFIXES)
        self._by_name: dict[str, list[Path]] = collections.defaultdict(list)
        for path in self.files:
            self._by_name[path.name].append(path)

    def find(self, name: str, places: Iterable[Path] = ()) -> Path:
        """Returns the file of the image that a tool calls `name`.

        The file is looked for below each of `places`, then by its name without folders in the
        whole export. A file that is not found gets a path all the same, so that reading it raises
        an error that names the path.

        Args:
            name: a file name or a path, with slashes or backslashes.
            places: folders that a path may be relative to, the likeliest first.

        Raises:
            DeeplabError: several files have the name.
        """
        path = plain_path(name)
        for place in places:
            if _is_file(place / path):
                return place / path
        found = self._by_name.get(path.name, [])
        # The longest common end of the paths decides between files of the same name.
        ends = [file for file in found if file.as_posix().endswith(f"/{path}")] or found
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


def _is_file(path: Path) -> bool:
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
    return sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in suffixes
        and not any(
            part.startswith(".") or part == "__MACOSX" for part in path.relative_to(root).parts
        )
        and path.is_file()
    )
