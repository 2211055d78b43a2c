"""The files that count as images in a folder, and a line about those that are passed over.

Tested in tests/prediction/test_inputs_and_outputs.py and tests/data/sources/test_folder_files.py.
"""

import collections
import importlib.util
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import features

HEIF_SUFFIXES = (".heic", ".heif", ".hif")
_ALWAYS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".tga",
)  # fmt: skip
_JPEG_2000 = (".jp2", ".j2k", ".jpx", ".jpf")

IMAGE_SUFFIXES = (
    *_ALWAYS,
    *(_JPEG_2000 if features.check("jpg_2000") else ()),
    *((".avif",) if features.check("avif") else ()),
    *(HEIF_SUFFIXES if importlib.util.find_spec("pillow_heif") else ()),
)
"""The suffixes, in lower case, of the files that count as images in a folder.

A list, a file name or a pattern may name a file with any other suffix.
"""

_OF_SYSTEMS = ("__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini")
"""Files and folders that macOS, Synology and Windows make."""


def is_image(path: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> bool:
    """Returns whether a file counts as an image: its suffix does, in any case, and it is shown."""
    return path.suffix.lower() in suffixes and not is_hidden(path.name)


def is_hidden(name: str) -> bool:
    """Returns whether a file or folder of this name is one that systems and tools hide."""
    return name.startswith(".") or name in _OF_SYSTEMS


def walk_files(folder: Path) -> Iterator[Path]:
    """Yields the files below `folder` that are not hidden, sorted; links to folders are followed.

    A link that leads back to a folder above it is not followed.
    """
    yield from sorted(_walk(folder, frozenset()))


def _walk(folder: Path, above: frozenset[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_hidden(entry.name):
                continue
            if entry.is_dir():
                yield from _walk(folder / entry.name, above | {real})
            else:
                yield folder / entry.name


def passed_over(files: Iterable[Path], suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> str | None:
    """Returns a line that counts, by suffix, the files that do not count as images.

    Args:
        files: files that are not hidden.
        suffixes: the suffixes of the files that count.

    Returns:
        The line; None where every file counts.
    """
    others = [file for file in files if file.suffix.lower() not in suffixes]
    if not others:
        return None
    counts = collections.Counter(file.suffix.lower() or "no suffix" for file in others)
    counted = ", ".join(f"{count:,} {suffix}" for suffix, count in counts.most_common(5))
    more = ", ..." if len(counts) > 5 else ""
    heif = any(suffix in counts for suffix in HEIF_SUFFIXES)
    advice = "; pip install pillow-heif reads HEIC" if heif else ""
    return f"passed over, not read as images: {counted}{more} (the first is {min(others)}){advice}"
