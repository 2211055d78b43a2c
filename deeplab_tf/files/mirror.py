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
import sys
import threading
from collections.abc import Callable, Iterator

from deeplab_tf.errors import DeeplabError, StoreLostError
from deeplab_tf.files.snapshot import (
    WHOLE,
    cache_folder,
    fetch,
    folders_above,
    is_unfinished,
    mark_of,
    not_whole,
)
from deeplab_tf.files.store import Store, Stored, check_path, side_by_side, within
from deeplab_tf.files.temporary import is_temporary, temporary_folder

ORDER = (".index", "checkpoint")
"""The ends of the names that are put last and removed first: TensorFlow's index of a checkpoint
makes its data count."""

_MIRRORS: dict[pathlib.Path, "Mirror"] = {}
_ADDRESSES: dict[str, str] = {}
"""The address for each folder of this machine that stands for one, for what a person reads."""
_ENDED: set[pathlib.Path] = set()
"""The scratch folders whose `mirrored` block has ended."""


class Mirror:
    """A scratch folder that stands for what begins with the address of `store`.

    That is the address itself and what lies below it. A file beside it, as the report of an export,
    is fetched when it is to be written.

    Args:
        store: the address.
        root: the scratch folder, empty; it stands for the parent of the address.

    Attributes:
        held: the name of the folder that this process holds, with `check` and `release`; see
            `lease`.
        ended: the names of the folders that this process held before.
    """

    def __init__(self, store: Store, root: pathlib.Path):
        self.store, self.root = store, root
        self._remote: dict[str, Stored] = {}
        self._local: dict[str, tuple[int, int]] = {}
        self._top = store.bucket()
        self._marks: dict[str, dict | None] = {}
        self._marking = threading.RLock()
        self.held: str | None = None
        self.ended: set[str] = set()
        self.check: Callable[[], None] = _nothing
        self.release: Callable[[], None] = _nothing

    def name_of(self, path: pathlib.Path) -> str:
        """Returns the name of the object that the file `path` is."""
        return path.relative_to(self.root).as_posix()

    def refresh(self, path: pathlib.Path) -> None:
        """Fetches what is another at the store than here, below `path`.

        What was fetched and is gone there goes here too.
        """
        begin = self.name_of(path)
        _, found = fetch(self.store, begin, lambda _objects: (self.root, self._remote))
        for name in [n for n in list(self._remote) if within(n, begin) and n not in found]:
            (self.root / name).unlink(missing_ok=True)
            self._remote.pop(name, None)
            self._local.pop(name, None)
        for name in found:
            self._local[name] = _stamp(self.root / name)

    def before_writing(self, path: pathlib.Path, folder: bool) -> None:
        """Fetches the file or `folder` that will be replaced at `path`.

        Raises:
            DeeplabError: the folder around it is not whole.
        """
        name = self.name_of(path)
        for above in folders_above(self.store.key(name)):
            if is_unfinished(self._mark(above)):
                raise not_whole(self._top.address_of(above))
        if self.holds(path):
            return
        if folder or self.store.stored(name) != self._remote.get(name):
            self.refresh(path)

    def holds(self, path: pathlib.Path) -> bool:
        """Returns whether this process holds a folder around `path`: nobody else writes there."""
        return self.held is not None and within(self.name_of(path), self.held)

    def put(self, path: pathlib.Path) -> None:
        """Commits the file `path`, and notes it where a folder around it is marked as whole."""
        self._put(path)
        name = self.name_of(path)
        self._note(name, {name: self._local[name][0]})

    def _put(self, path: pathlib.Path) -> None:
        name, stamp = self.name_of(path), _stamp(path)
        self.store.put(path, name)
        self._local[name] = stamp
        self._remote[name] = Stored(stamp[0], "")

    def _mark(self, folder: str) -> dict | None:
        """Returns the mark of the folder with the key `folder`, which is read once."""
        with self._marking:
            if folder not in self._marks:
                self._marks[folder] = mark_of(self._top, folder)
            return self._marks[folder]

    def _note(self, name: str, sizes: dict[str, int | None]) -> None:
        """Notes sizes of files, None of those gone, in the marks of the folders above `name`."""
        for folder in folders_above(self.store.key(name)):
            with self._marking:
                mark = self._mark(folder)
                if mark is None or is_unfinished(mark):
                    continue
                inner = {self.store.key(n).removeprefix(f"{folder}/"): s for n, s in sizes.items()}
                files = {n: s for n, s in {**mark["files"], **inner}.items() if s is not None}
                if files != mark["files"]:
                    mark["files"] = files
                    self._top.write(f"{folder}/{WHOLE}", json.dumps(mark).encode())

    def put_folder(self, path: pathlib.Path) -> None:
        """Commits the folder `path`, in whose place another one may have been.

        Until its last file is there, it is not whole, and counts as absent.
        """
        name = self.name_of(path)
        state = f"{name}/{WHOLE}"
        self._marks[self.store.key(name)] = {"state": "writing", "files": {}}
        self.store.write(state, json.dumps({"state": "writing"}).encode())
        files = _files(path)
        side_by_side(self._put, files)
        here = {self.name_of(file): self._local[self.name_of(file)][0] for file in files}
        there = self.store.objects(name)
        there.pop(state, None)
        self.store.delete(there.keys() - here.keys())
        sizes = {n.removeprefix(f"{name}/"): size for n, size in here.items()}
        content = {"state": "whole", "files": sizes}
        self.store.write(state, json.dumps(content).encode())
        self._marks[self.store.key(name)] = content
        self._remote |= {n: stored for n, stored in there.items() if n in here}
        self._note(name, {**dict.fromkeys(there.keys() - here.keys()), **here})

    def sync(self, path: pathlib.Path) -> None:
        """Commits every file below `path` that has changed, and removes what is gone here.

        Raises:
            DeeplabError: another process has taken the folder over, or the store is lost.
        """
        self.check()
        os.utime(self.root)  # a process of another host takes an old folder for a leftover
        ended = self.ended - {self.held, self.name_of(path)}

        def is_ours(name: str) -> bool:
            return not any(within(name, each) for each in ended)

        files = [file for file in _files(path) if is_ours(self.name_of(file))]
        for file in sorted(files, key=lambda file: (_last(file.name), file.as_posix())):
            with contextlib.suppress(FileNotFoundError):  # TensorFlow's events may be renamed
                if self._local.get(self.name_of(file)) != _stamp(file):
                    if _last(file.name):
                        self.check()
                    self.put(file)
        below = [n for n in list(self._local) if path == self.root or within(n, self.name_of(path))]
        gone = [n for n in below if not (self.root / n).exists() and is_ours(n)]
        for last in sorted({_last(n) for n in gone}, reverse=True):
            self.store.delete(n for n in gone if _last(n) == last)
        for n in gone:
            self._note(n, {n: None})
            del self._local[n]
            self._remote.pop(n, None)

    @contextlib.contextmanager
    def synced(self, path: pathlib.Path) -> Iterator[None]:
        """Commits what has changed below `path` at the end of the block, that of an error too."""
        try:
            yield
        except StoreLostError:  # another wait for the store would end as this one
            raise
        except BaseException:
            with contextlib.suppress(DeeplabError):  # the first error is the one to be read
                self.sync(path)
            raise
        self.sync(path)


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
        mirror = Mirror(store, root)
        path = root / store.name
        _ADDRESSES[str(path)] = store.address
        _ADDRESSES.setdefault(str(root), store.address_of("")[:-1])
        if not lazy:
            mirror.refresh(path)
        else:
            path.mkdir()
        _MIRRORS[root] = mirror
        try:
            with mirror.synced(root):
                yield path
        finally:
            del _MIRRORS[root]
            _ENDED.add(root)


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
    if not _ENDED.isdisjoint(path.absolute().parents):
        raise DeeplabError(
            f"{address} would reach no store: its `mirrored` block has ended; write inside it"
        )
    if address != str(path) and not mirror_of(path) and not any(map(is_temporary, path.parents)):
        raise DeeplabError(f"{address} is only read here; write into a copy on this machine")


def refreshed(path: pathlib.Path) -> None:
    """Fetches what another process may have committed below `path` since; nothing elsewhere."""
    mirror = mirror_of(path)
    if mirror and not mirror.holds(path.absolute()):
        mirror.refresh(path.absolute())


def before_writing(path: pathlib.Path, folder: bool = False) -> None:
    """Fetches the file or `folder` that will be replaced at `path`; nothing elsewhere."""
    mirror = mirror_of(path)
    if mirror:
        mirror.before_writing(path.absolute(), folder)


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


def close_mirrors() -> int:
    """Does what ends the mirrors, for a process that ends without Python's way out.

    Returns the exit code: 0, or that of an error, which is printed.
    """
    code = 0
    for root, mirror in list(_MIRRORS.items()):
        try:
            mirror.sync(root)
        except DeeplabError as error:
            print(f"error: {shown(str(error))}", file=sys.stderr)
            code = error.exit_code
        mirror.release()
        shutil.rmtree(root, ignore_errors=True)
    return code


def _nothing() -> None:
    """Checks or releases nothing: the folder is not held."""


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
