"""Copies on this machine of what is read from a store.

A copy lies in a folder named by the ETags of all its objects: what has changed at the store is
another folder, a copy gets files but never another content of one, and several processes may make
one copy at once.

Tested in tests/test_store.py.
"""

import hashlib
import pathlib
import re

from deeplab_tf.errors import DeeplabError
from deeplab_tf.files.mirror import refreshed, stands_for
from deeplab_tf.files.snapshot import cache_folder, fetch, not_whole
from deeplab_tf.files.store import Store, Stored, check_path

_PARTS: dict[pathlib.Path, str] = {}
"""The address for each folder of which only parts are fetched."""


def fetched(address: str) -> pathlib.Path:
    """Returns the path of a copy of the file or folder at `address`, made now where there is none.

    Raises:
        DeeplabError: there is nothing at the address, or the store cannot be reached.
    """
    store = Store(address)
    return _fetched(store) / store.name


def fetched_pattern(address: str) -> str:
    """Returns `address` with its folder without wildcards as a path; what matches is fetched.

    An address without wildcards gives the path of `fetched`.
    """
    wild = re.search(r"[*?\[]", address)
    if not wild:
        return str(fetched(address))
    folder = address[: address.rindex("/", 0, wild.start())]
    pattern = address.removeprefix(f"{folder}/")
    store = Store(folder)
    return f"{_fetched(store, _regex(pattern)) / store.name}/{pattern}"


def _regex(pattern: str) -> re.Pattern[str]:
    """Returns what the names that `glob` finds by `pattern` match; `**` is any depth."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}

    def part(found: re.Match[str]) -> str:
        text = found[0]
        if text[0] == "[" and len(text) > 1:
            inner = re.sub(r"[\\\[^]", r"\\\g<0>", text[1:-1])
            return "[" + ("^" + inner[1:] if inner[0] == "!" else inner) + "]"
        return parts.get(text) or re.escape(text)

    return re.compile(re.sub(r"\*\*/|\*\*|\[!?\]?[^\]]*\]|.", part, pattern))


def fetched_parts(address: str) -> pathlib.Path:
    """Returns a path for the folder `address`, whose parts `fetched_part` fetches."""
    store = Store(address)
    digest = hashlib.sha256(store.address.encode()).hexdigest()[:16]
    path = cache_folder() / digest / store.name
    path.mkdir(parents=True, exist_ok=True)
    _PARTS[path] = store.address
    stands_for(path, store.address)
    return path


def fetched_part(folder: pathlib.Path, name: str) -> pathlib.Path:
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
        there = ", ".join(Store(address).below()) or "nothing"
        raise DeeplabError(f"{address} has no {name!r}; it has {there}")
    copy = _fetched(store)
    stands_for(copy, address)
    return copy


def _fetched(store: Store, pattern: re.Pattern[str] | None = None) -> pathlib.Path:
    """Returns the folder of a copy of the objects below the address whose names match `pattern`."""
    begin = f"{store.name}/"

    def place(objects: dict[str, Stored]) -> tuple[pathlib.Path, dict[str, Stored]]:
        if not objects:
            raise DeeplabError(f"{store.address}: there is nothing at this address")
        etags = [f"{name} {o.size} {o.etag}" for name, o in sorted(objects.items())]
        digest = hashlib.sha256("\n".join([store.address, *etags]).encode()).hexdigest()[:16]
        root = (cache_folder() / digest).resolve()
        stands_for(root / store.name, store.address)
        return root, {
            name: stored
            for name, stored in objects.items()
            if (path := root / name).is_file() and path.stat().st_size == stored.size
        }

    def chosen(name: str) -> bool:
        return pattern is None or bool(pattern.fullmatch(name.removeprefix(begin)))

    root, found = fetch(store, store.name, place, chosen)
    if not found:
        raise not_whole(store.address)
    return root
