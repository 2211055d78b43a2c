"""Files of this machine that are together what a store had at one moment.

Tested in tests/test_store.py, through `fetched` and `mirrored`.
"""

import json
import os
import pathlib
import shutil
import sys
from collections.abc import Callable

from deeplab_tf.errors import DeeplabError
from deeplab_tf.files.store import Store, Stored, side_by_side, within
from deeplab_tf.files.temporary import remove, remove_leftovers, temporary_path

WHOLE = ".whole.json"
"""The object that says whether the folder around it is whole; it is no file of a mirror."""

MOVES = 20
"""How often a folder is read anew because its objects changed while they were read."""

TOLD_BYTES = 100e6
"""The size from which a line says what is fetched."""


def cache_folder() -> pathlib.Path:
    """Returns the folder of what was fetched from stores and of scratch folders."""
    import pooch  # takes a fifth of a second, which a wrong flag need not wait for

    return pathlib.Path(pooch.os_cache("deeplab_tf")) / "stores"


def fetch(
    store: Store,
    begin: str,
    place: Callable[[dict[str, Stored]], tuple[pathlib.Path, dict[str, Stored]]],
    chosen: Callable[[str], bool] = lambda _name: True,
) -> tuple[pathlib.Path, dict[str, Stored]]:
    """Fetches objects into files that are together what the store had at one moment.

    Args:
        store: the store.
        begin: the folder or object to fetch.
        place: gives, for the objects at the store, the folder for the files, each under its
            object's name, and the objects whose files are there already; what is fetched is added
            to these.
        chosen: whether the object of a name is wanted.

    Returns:
        The folder and the objects that are files now. Folders that are not whole are left out.

    Raises:
        DeeplabError: a folder above is not whole, a folder lacks a file that it had when it was
            whole, an object has the name of a folder, the disk is too small, or the objects change
            all the time.
    """

    def listed() -> dict[str, Stored]:
        for folder in folders_above(store.key(begin)):
            if is_unfinished(mark_of(top, folder)):
                raise not_whole(top.address_of(folder))
        return {n: s for n, s in store.objects(begin).items() if _is_mark(n) or chosen(n)}

    top = store.bucket()
    objects = listed()
    for _ in range(MOVES):
        root, have = place(objects)
        wanted = _without_unfinished(store, objects, chosen)
        _check_names(store, wanted)
        missing = [
            name
            for name, stored in wanted.items()
            if have.get(name) != stored or not (root / name).is_file()
        ]
        _prepare(store, root, [wanted[name].size for name in missing])
        got = side_by_side(lambda n, all=wanted, to=root: _get(store, n, all[n], to), missing)
        have |= {n: wanted[n] for n, whole in zip(missing, got, strict=True) if whole}
        before, objects = objects, listed()
        if objects == before and wanted.items() <= have.items():
            return root, wanted
    raise DeeplabError(f"{store.address} changes faster than it is read; try again")


def mark_of(store: Store, folder: str) -> dict | None:
    """Returns the content of the mark of `folder`; None where there is no mark.

    Raises:
        DeeplabError: the mark is damaged.
    """
    text = store.read(f"{folder}/{WHOLE}")
    try:
        content = None if text is None else json.loads(text)
        if content is not None:
            content.setdefault("files", {}).items()
    except (ValueError, AttributeError) as error:
        raise DeeplabError(
            f"{store.address_of(folder)}/{WHOLE} is damaged; remove it if the folder is whole"
        ) from error
    return content


def folders_above(key: str) -> list[str]:
    """Returns the names of the folders that the name `key` lies in, the nearest first."""
    return [parent.as_posix() for parent in pathlib.PurePosixPath(key).parents][:-1]


def not_whole(address: str) -> DeeplabError:
    """Returns the error that the folder at `address` is not whole."""
    return DeeplabError(
        f"{address} is not whole: it is being written, or was cut off; write it again as a whole, "
        "or remove it"
    )


def is_unfinished(mark: dict | None) -> bool:
    """Returns whether the folder of `mark`, None where it has none, is not whole."""
    return mark is not None and mark.get("state") != "whole"


def _is_mark(name: str) -> bool:
    return name.rpartition("/")[2] == WHOLE


def _prepare(store: Store, root: pathlib.Path, sizes: list[int]) -> None:
    """Makes `root` ready for files of `sizes` bytes, which must fit on its disk."""
    root.mkdir(parents=True, exist_ok=True)
    remove_leftovers(root)
    needed, free = sum(sizes), shutil.disk_usage(root).free
    if needed > free:
        raise DeeplabError(
            f"{store.address} has {needed / 1e9:.1f} GB to fetch, and the disk of {root} has "
            f"{free / 1e9:.1f} GB free; free space, or set XDG_CACHE_HOME to another disk"
        )
    if needed >= TOLD_BYTES:
        print(
            f"fetching {len(sizes)} files, {needed / 1e9:.1f} GB, from {store.address}",
            file=sys.stderr,
            flush=True,
        )


def _get(store: Store, name: str, stored: Stored, root: pathlib.Path) -> bool:
    """Fetches the object `name` below `root`; returns whether it still is what was `stored`."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path, root)
    try:
        store.get(name, temporary)
        if store.stored(name) != stored or temporary.stat().st_size != stored.size:
            return False
        os.replace(temporary, path)
    except FileNotFoundError:  # it was removed or replaced since it was listed
        return False
    else:
        return True
    finally:
        remove(temporary)


def _check_names(store: Store, wanted: dict[str, Stored]) -> None:
    for name in wanted:
        for folder in folders_above(name):
            if folder in wanted:
                raise DeeplabError(
                    f"{store.address_of(folder)} is an object and a folder too; remove or rename "
                    "one of them"
                )


def _without_unfinished(
    store: Store, objects: dict[str, Stored], chosen: Callable[[str], bool]
) -> dict[str, Stored]:
    """Returns the objects that are files: without those of folders that are not whole."""
    wanted = {n: s for n, s in objects.items() if not _is_mark(n)}
    for folder in [n.rpartition("/")[0] for n in objects if _is_mark(n)]:
        mark = mark_of(store, folder) or {"files": {}}
        if is_unfinished(mark):
            wanted = {n: s for n, s in wanted.items() if not within(n, folder)}
            continue
        for inner, size in mark["files"].items():
            name = f"{folder}/{inner}"
            if chosen(name) and (name not in objects or objects[name].size != size):
                raise DeeplabError(
                    f"{store.address_of(folder)} is not whole: {inner} is missing or another than "
                    f"when it was written; write it again, or remove {WHOLE} there to take it as "
                    "it is"
                )
    return wanted
