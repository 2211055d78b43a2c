"""Where fetched files and imported models lie, and which import a model has.

Tested in tests/named/test_find.py.
"""

import functools
import hashlib
import os
import pathlib
from importlib import resources

import pooch

from deeplab_tf.named.table import NamedModel

MIRROR = "DEEPLAB_MODELS"
"""The environment variable with the folder, or the address of a folder, to take files from."""


def cache_folder(name: str) -> pathlib.Path:
    """Returns the folder of the model `name` in the user's cache, which need not exist.

    The cache is that of the operating system: below `XDG_CACHE_HOME` or `~/.cache` on Linux.
    """
    return pathlib.Path(pooch.os_cache("deeplab_tf")) / "models" / name


def imported_file(name: str, model: NamedModel) -> pathlib.Path:
    """Returns the path of the imported `.keras` file.

    The name holds the file's hash and the importers' code, so a changed entry or importer leads to
    a new import.
    """
    key = f"{model.address} {model.hash} {model.source} {importers()}"
    return cache_folder(name) / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.keras"


@functools.cache
def importers() -> str:
    """Returns a sha256 of the importers' code."""
    digest = hashlib.sha256()
    files = [f for f in resources.files("deeplab_tf.weights").iterdir() if f.name.endswith(".py")]
    for file in sorted(files, key=lambda file: file.name):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def mirror() -> str | None:
    """Returns the folder or address in `MIRROR`; None where the variable is absent or empty."""
    return os.environ.get(MIRROR) or None


def is_address(place: str) -> bool:
    """Returns whether a place is an address rather than a folder."""
    return place.startswith(("http://", "https://"))
