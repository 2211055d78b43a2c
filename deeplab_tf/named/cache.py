"""Where fetched files and imported models lie, and which import a model has.

Tested in tests/named/test_find.py.
"""

import functools
import hashlib
import os
import pathlib
from importlib import resources

import pooch

from deeplab_tf.machine.sources import code_digest
from deeplab_tf.named.table import NamedModel

MIRROR = "DEEPLAB_MODELS"
"""The environment variable with the folder, or the address of a folder, to take files from."""


def cache_folder(name: str) -> pathlib.Path:
    """Returns the folder of the model `name` in the user's cache, which need not exist.

    The cache is that of the operating system: below `XDG_CACHE_HOME` or `~/.cache` on Linux.
    """
    return pathlib.Path(pooch.os_cache("deeplab_tf")) / "models" / name


def published_place(name: str, model: NamedModel) -> pathlib.Path:
    """Returns where the published file is to lie: in the mirror's folder or in the cache."""
    place = mirror()
    folder = cache_folder(name) if place is None or is_web_address(place) else pathlib.Path(place)
    return folder / model.file


def imported_file(name: str, model: NamedModel) -> pathlib.Path | None:
    """Returns the path of the imported `.keras` file, which need not exist.

    The path holds the file's hash and the importers' code, so a changed entry or importer leads to
    a new import. Where the table knows no hash, the path holds the sha256 of the file that lies
    there, so a replaced file leads to a new import too. Where that file is gone, the latest import
    stands for it; the result is None if there is none.
    """
    key = f"{model.address} {model.hash} {model.source} {importers()}"
    stem = f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    if model.hash is not None:
        return cache_folder(name) / f"{stem}.keras"
    published = published_place(name, model)
    if published.is_file():
        stat = published.stat()
        digest = _sha256(published, stat.st_size, stat.st_mtime_ns)
        return cache_folder(name) / f"{stem}-{digest[:12]}.keras"
    imports = cache_folder(name).glob(f"{stem}-*.keras")
    return max(imports, key=lambda path: path.stat().st_mtime_ns, default=None)


@functools.lru_cache
def _sha256(path: pathlib.Path, _size: int, _changed: int) -> str:
    # One command asks several times, and the file may have hundreds of megabytes.
    return pooch.file_hash(str(path), "sha256")


@functools.cache
def importers() -> str:
    """Returns a sha256 of the importers' code."""
    return code_digest(pathlib.Path(str(resources.files("deeplab_tf.weights"))))


def mirror() -> str | None:
    """Returns the folder or address in `MIRROR`; None where the variable is absent or empty."""
    return os.environ.get(MIRROR) or None


def is_web_address(place: str) -> bool:
    """Returns whether a place is a web address rather than a folder."""
    return place.startswith(("http://", "https://"))
