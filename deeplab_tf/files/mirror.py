"""Folders of this machine that stand for addresses of a store, and what is committed to the store.

A command writes as always, into a scratch folder. `whole_file` and `whole_folder` commit to the
store what they complete, and `sync` what grows, such as logs and checkpoints.

A file appears by one put, whole. A folder of `whole_folder` is whole where its `WHOLE` object says
so, which is written first as `writing` and last as `whole` with the names and sizes of the files.

Tested in tests/test_store.py.
"""

import contextlib
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator

from deeplab_tf.errors import DeeplabError
from deeplab_tf.files.snapshot import WHOLE, cache_folder, fetch, side_by_side
from deeplab_tf.files.store import Store, Stored, check_path, within
from deeplab_tf.files.temporary import is_temporary, temporary_folder

ORDER = (".index", "checkpoint")
"""The ends of the names that are put last and removed first: TensorFlow's index of a checkpoint
makes its data count."""

_MIRRORS: dict[pathlib.Path, "Mirror"] = {}
_ADDRESSES: dict[str, str] = {}
"""The address for each folder of this machine that stands for one, for what a person reads."""


class Mirror:
    """A scratch folder that stands for what begins with the address of `store`.

    That is the address itself, what lies below it, and files beside it that begin with its stem,
    as the report of an export does.

    Args:
        store: the address.
        root: the scratch folder, empty; it stands for the parent of the address.
        lazy: whether only what is asked for is fetched, and not everything at once.

    Attributes:
        check, release: of the process that holds the folder; see `lease`.
    """

    def __init__(self, store: Store, root: pathlib.Path, lazy: bool = False):
        self.store, self.root, self.lazy = store, root, lazy
        self._remote: dict[str, Stored] = {}
        self._local: dict[str, tuple[int, int]] = {}
        self.check: Callable[[], None] = _nothing
        self.release: Callable[[], None] = _nothing

    def name(self, path: pathlib.Path) -> str:
        """Returns the name of the object that the file `path` is."""
        return path.relative_to(self.root).as_posix()

    def refresh(self, path: pathlib.Path | None = None) -> None:
        """Fetches what is another at the store than here, below `path` or all.

        What was fetched and is gone there goes here too.
        """
        begin = self.name(path) if path else f"{pathlib.PurePath(self.store.name).stem}"
        wanted = within if path else _beside(self.store.name)

        def listed() -> dict[str, Stored]:
            objects = self.store.beginning(begin)
            return {n: s for n, s in objects.items() if wanted(n, begin)}

        before = {name for name in self._remote if wanted(name, begin)}
        found = fetch(self.store, listed, self.root, self._remote)
        for name in before - found.keys():
            (self.root / name).unlink(missing_ok=True)
            self._remote.pop(name)
            self._local.pop(name, None)
        self._remote |= found
        for name in found:
            self._local[name] = _stamp(self.root / name)

    def put(self, path: pathlib.Path) -> None:
        """Commits the file `path`."""
        name, stamp = self.name(path), _stamp(path)
        self.store.put(path, name)
        self._local[name] = stamp
        self._remote[name] = Stored(stamp[0], "")

    def put_folder(self, path: pathlib.Path) -> None:
        """Commits the folder `path`, in whose place another one may have been.

        Until its last file is there, it is not whole, and counts as absent.
        """
        name = self.name(path)
        state = f"{name}/{WHOLE}"
        self.store.write(state, json.dumps({"state": "writing"}).encode())
        files = _files(path)
        side_by_side(self.put, files)
        here = {self.name(file): self._local[self.name(file)][0] for file in files}
        there = self.store.objects(name).keys() - {state}
        self.store.delete(there - here.keys())
        sizes = {n.removeprefix(f"{name}/"): size for n, size in here.items()}
        content = {"state": "whole", "files": sizes}
        self.store.write(state, json.dumps(content).encode())

    def sync(self, path: pathlib.Path) -> None:
        """Commits every file below `path` that has changed, and removes what is gone here.

        Raises:
            DeeplabError: another process has taken the folder over, or the store is lost.
        """
        self.check()
        os.utime(self.root)  # a process of another host takes an old folder for a leftover
        for file in sorted(_files(path), key=lambda file: (_last(file.name), file.as_posix())):
            with contextlib.suppress(FileNotFoundError):  # TensorFlow's events may be renamed
                if self._local.get(self.name(file)) != _stamp(file):
                    self.put(file)
        below = [n for n in self._local if path == self.root or within(n, self.name(path))]
        gone = [n for n in below if not (self.root / n).exists()]
        for last in sorted({_last(n) for n in gone}, reverse=True):
            self.store.delete(n for n in gone if _last(n) == last)
        for n in gone:
            del self._local[n]
            self._remote.pop(n, None)


@contextlib.contextmanager
def mirrored(address: str, lazy: bool = False) -> Iterator[pathlib.Path]:
    """Yields a path of this machine that stands for the file or folder at `address` of a store.

    What lies at the address is fetched first, and what `whole_file` and `whole_folder` write there
    is committed at once. At the end all else that has changed is committed.

    Args:
        address: `s3://BUCKET/NAME` or `gs://BUCKET/NAME`.
        lazy: whether only what the block asks for by `refreshed` is fetched.

    Raises:
        DeeplabError: the store cannot be reached, or the address has another form.
    """
    store = Store(address)
    with temporary_folder(cache_folder()) as root:
        root = root.resolve()
        mirror = Mirror(store, root, lazy)
        path = root / store.name
        _ADDRESSES[str(path)] = store.address
        _ADDRESSES.setdefault(str(root), store.address_of("")[:-1])
        if not lazy:
            mirror.refresh()
        else:
            path.mkdir()
        _MIRRORS[root] = mirror
        try:
            try:
                yield path
            except BaseException:
                with contextlib.suppress(DeeplabError):  # the first error is the one to be read
                    mirror.sync(root)
                raise
            mirror.sync(root)
        finally:
            del _MIRRORS[root]


def mirror_of(path: pathlib.Path) -> Mirror | None:
    """Returns the mirror that `path` lies in; None for other and for temporary paths."""
    if not _MIRRORS:
        return None
    path = path.absolute()
    for root, mirror in list(_MIRRORS.items()):
        if path.is_relative_to(root):
            inner = path.relative_to(root)
            parents = [root / inner, *list((root / inner).parents)[: len(inner.parts) - 1]]
            return None if any(map(is_temporary, parents)) else mirror
    return None


def is_mirrored(path: pathlib.Path) -> bool:
    """Returns whether `path` stands for an address of a store."""
    return mirror_of(path) is not None


def check_writable(path: pathlib.Path) -> None:
    """Raises `DeeplabError` where `path` is an address, or a copy of what was only to be read."""
    check_path(path)
    address = shown(str(path))
    if address != str(path) and not mirror_of(path) and not any(map(is_temporary, path.parents)):
        raise DeeplabError(f"{address} is only read here; write on this machine, or into --out")


def refreshed(path: pathlib.Path) -> None:
    """Fetches what another process may have committed below `path` since; nothing elsewhere."""
    mirror = mirror_of(path)
    if mirror:
        mirror.refresh(path.absolute())


def before_writing(path: pathlib.Path) -> None:
    """Fetches what will be replaced at `path`, where its mirror has not fetched everything."""
    mirror = mirror_of(path)
    if mirror and mirror.lazy:
        mirror.refresh(path.absolute())


def committed(path: pathlib.Path) -> None:
    """Commits the file or folder `path` that is complete now; does nothing elsewhere."""
    mirror = mirror_of(path)
    if mirror:
        path = path.absolute()
        mirror.check()
        (mirror.put_folder if path.is_dir() else mirror.put)(path)


def synced(path: pathlib.Path) -> None:
    """Commits everything below `path` that has changed; does nothing elsewhere."""
    mirror = mirror_of(path)
    if mirror:
        mirror.sync(path.absolute())


def shown(text: str) -> str:
    """Returns `text` with addresses in the place of the folders that stand for them."""
    for path, address in sorted(_ADDRESSES.items(), key=lambda pair: -len(pair[0])):
        text = text.replace(path, address)
    return text


def stands_for(path: pathlib.Path, address: str) -> None:
    """Notes that `path` stands for `address`, for `shown`."""
    _ADDRESSES[str(path)] = address


def close_mirrors() -> None:
    """Does what ends the mirrors, for a process that ends without Python's way out."""
    for root, mirror in list(_MIRRORS.items()):
        with contextlib.suppress(DeeplabError):
            mirror.sync(root)
        mirror.release()
        shutil.rmtree(root, ignore_errors=True)


def _nothing() -> None:
    """Checks or releases nothing: the folder is not held."""


def _beside(name: str) -> Callable[[str, str], bool]:
    stem = pathlib.PurePath(name).stem

    def wanted(found: str, _begin: str) -> bool:
        return within(found, name) or ("/" not in found and found.startswith(f"{stem}."))

    return wanted


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the files below `folder` that are not being written."""
    if folder.is_file():
        return [folder]
    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_temporary(pathlib.Path(name))]
        found += [
            pathlib.Path(root, name)
            for name in names
            if not is_temporary(pathlib.Path(name)) and ".tempstate" not in name
        ]
    return found


def _stamp(path: pathlib.Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _last(name: str) -> int:
    return next((i for i, end in enumerate(ORDER, 1) if name.endswith(end)), 0)
