"""Copies on this machine of what is read from a store.

A copy lies in a folder named by the marks of all its objects: what has changed at the store is
another folder, a copy is never changed, and several processes may make one copy at once.

Tested in tests/test_store.py.
"""

import fnmatch
import hashlib
import pathlib
import re

from deeplab_tf.errors import DeeplabError
from deeplab_tf.files.mirror import refreshed, stands_for
from deeplab_tf.files.snapshot import cache_folder, fetch
from deeplab_tf.files.store import Store, Stored, check_path

_PARTS: dict[pathlib.Path, str] = {}
"""The address for each folder of which only parts are fetched."""


def fetched(address: str) -> pathlib.Path:
    """Returns the path of a copy of the file or folder at `address`, made now where there is none.

    Raises:
        DeeplabError: there is nothing at the address, or the store cannot be reached.
    """
    store = Store(address)
    return _fetched(store, "*") / store.name


def fetched_pattern(address: str) -> str:
    """Returns `address` with its folder without wildcards as a path; what matches is fetched.

    An address without wildcards gives the path of `fetched`.
    """
    wild = re.search(r"[*?\[]", address)
    if not wild:
        return str(fetched(address))
    folder, _, pattern = address.rpartition("/")
    folder = address[: address.rindex("/", 0, wild.start())]
    pattern = address.removeprefix(f"{folder}/")
    store = Store(folder)
    # A `*` of fnmatch goes over slashes; `**/` may stand for no folder at all.
    copy = _fetched(store, pattern.replace("**/", "*"))
    return f"{copy / store.name}/{pattern}"


def fetched_parts(address: str) -> pathlib.Path:
    """Returns a path that stands for the folder `address`, whose parts `part` fetches."""
    store = Store(address)
    digest = hashlib.sha256(store.address.encode()).hexdigest()[:16]
    path = cache_folder() / digest / store.name
    path.mkdir(parents=True, exist_ok=True)
    _PARTS[path] = store.address
    stands_for(path, store.address)
    return path


def part(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Returns `folder`, or the folder of a copy of its part `name` where it stands for an address.

    Raises:
        DeeplabError: the address has no such part; the message lists those that it has.
    """
    check_path(folder)
    address = _PARTS.get(folder)
    if address is None:
        refreshed(folder / name)
        return folder
    store = Store(f"{address}/{name}")
    if not store.objects(name):
        there = ", ".join(Store(address).folders()) or "nothing"
        raise DeeplabError(f"{address} has no {name!r}; it has {there}")
    copy = _fetched(store, "*")
    stands_for(copy, address)
    return copy


def _fetched(store: Store, pattern: str) -> pathlib.Path:
    """Returns the folder of a copy of the objects below the address that match `pattern`."""
    begin = f"{store.name}/"

    def listed() -> dict[str, Stored]:
        return {
            name: stored
            for name, stored in store.objects(store.name).items()
            if fnmatch.fnmatchcase(name.removeprefix(begin), pattern)
        }

    objects = listed()
    if not objects:
        raise DeeplabError(f"{store.address}: there is nothing at this address")
    marks = [f"{name} {o.size} {o.mark}" for name, o in sorted(objects.items())]
    digest = hashlib.sha256("\n".join([store.address, *marks]).encode()).hexdigest()[:16]
    root = (cache_folder() / digest).resolve()
    there = {
        name: stored
        for name, stored in objects.items()
        if (path := root / name).is_file() and path.stat().st_size == stored.size
    }
    root.mkdir(parents=True, exist_ok=True)
    stands_for(root / store.name, store.address)
    now = fetch(store, listed, root, there)
    if not now:
        raise DeeplabError(f"{store.address} is not whole: it is being written, or was cut off")
    changed = [name for name, stored in now.items() if objects.get(name) != stored]
    if changed:  # meanwhile; what is there now belongs into another folder
        for name in changed:
            (root / name).unlink(missing_ok=True)
        return _fetched(store, pattern)
    return root
