"""Files of this machine that are together what a store had at one moment.

Tested in tests/test_store.py, through `fetched` and `mirrored`.
"""

import concurrent.futures
import contextlib
import json
import os
import pathlib
from collections.abc import Callable, Iterable
from typing import TypeVar

from deeplab_tf.errors import DeeplabError
from deeplab_tf.files.store import Store, Stored, within
from deeplab_tf.files.temporary import remove, temporary_path

WHOLE = ".whole.json"
"""The object that says whether the folder around it is whole; it is no file of a mirror."""

CONNECTIONS = 8
"""How many files go to or come from a store at a time; each mostly waits for an answer."""

MOVES = 20
"""How often a folder is read anew because its objects changed while they were read."""

T = TypeVar("T")
R = TypeVar("R")


def cache_folder() -> pathlib.Path:
    """Returns the folder of what was fetched from stores and of scratch folders."""
    import pooch  # takes a fifth of a second, which a wrong flag need not wait for

    return pathlib.Path(pooch.os_cache("deeplab_tf")) / "stores"


def fetch(
    store: Store,
    listed: Callable[[], dict[str, Stored]],
    root: pathlib.Path,
    have: dict[str, Stored],
) -> dict[str, Stored]:
    """Fetches objects into files below `root` that are together what the store had at one moment.

    Args:
        store: the store.
        listed: gives the objects to fetch.
        root: the folder for the files, each under its object's name.
        have: the objects whose files are there already.

    Returns:
        The objects that are files now. Folders that are not whole are left out.

    Raises:
        DeeplabError: a folder lacks a file that it had when it was whole, or the objects change all
            the time.
    """
    got, objects = dict(have), listed()
    for _ in range(MOVES):
        wanted = _whole(store, objects)
        with contextlib.suppress(FileNotFoundError):  # it was removed or replaced since
            missing = [
                name
                for name, stored in wanted.items()
                if got.get(name) != stored or not (root / name).is_file()
            ]
            for name, stored in side_by_side(
                lambda name, all=wanted: (name, _get(store, name, root / name, all[name])), missing
            ):
                got[name] = stored
        before, objects = objects, listed()
        if objects == before and wanted.items() <= got.items():
            for name in got.keys() - have.keys() - wanted.keys():
                (root / name).unlink(missing_ok=True)
            return wanted
    raise DeeplabError(f"{store.address} changes faster than it is read; try again")


def _get(store: Store, name: str, path: pathlib.Path, stored: Stored) -> Stored:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path)
    try:
        store.get(name, temporary)
        if temporary.stat().st_size != stored.size:
            raise FileNotFoundError(name)  # replaced since it was listed
        os.replace(temporary, path)
    finally:
        remove(temporary)
    return stored


def _whole(store: Store, objects: dict[str, Stored]) -> dict[str, Stored]:
    """Returns the objects that are files: without those of folders that are not whole."""
    wanted = {n: s for n, s in objects.items() if n.rpartition("/")[2] != WHOLE}
    for state in [n for n in objects if n.rpartition("/")[2] == WHOLE]:
        folder = state.rpartition("/")[0]
        try:
            content = json.loads(store.read(state) or b"{}")
            files = {f"{folder}/{n}": size for n, size in content.get("files", {}).items()}
        except (ValueError, AttributeError, TypeError) as error:
            raise DeeplabError(
                f"{store.address_of(state)} is damaged; remove it if the folder is whole"
            ) from error
        if content.get("state") != "whole":
            wanted = {n: s for n, s in wanted.items() if not within(n, folder)}
            continue
        for name, size in files.items():
            if name not in objects or objects[name].size != size:
                raise DeeplabError(
                    f"{store.address_of(folder)} is not whole: {name.removeprefix(f'{folder}/')} "
                    f"is missing or another than when it was written; write it again, or remove "
                    f"{WHOLE} there to take it as it is"
                )
    return wanted


def side_by_side(call: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Returns what `call` gives for each item, of which some are in work at a time."""
    with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(pool.map(call, items))
