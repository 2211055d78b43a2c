"""The objects of a store such as S3, by their addresses, with errors of one line.

Tested in tests/test_store.py.
"""

import concurrent.futures
import contextlib
import dataclasses
import errno
import importlib
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from deeplab_tf.errors import DeeplabError, StoreLostError, one_line

PACKAGES = {"s3": "s3fs", "gs": "gcsfs"}
"""The package that speaks to the stores of each scheme, all by fsspec's interface."""

OPTIONS: dict[str, dict] = {
    "s3": {"config_kwargs": {"connect_timeout": 10, "read_timeout": 20}},
    "gs": {},
}
"""The options of each scheme. An answer is waited for less long than a lease lasts."""

TRIES = 2
"""How often s3fs tries what botocore has tried AWS_MAX_ATTEMPTS times; its own 5 would make a store
that does not answer hold a command for many minutes."""

CONNECTIONS = 8
"""How many objects go to or come from a store at a time; each mostly waits for an answer."""

HELD = ".held.json"
"""The object by which a process holds the folder around it, which is no file; see `lease`."""

_SCHEMES = {*PACKAGES, "s3a", "gcs", "abfs", "abfss", "az", "adl", "hdfs", "http", "https", "file"}
_FORM = "s3://BUCKET/NAME or gs://BUCKET/NAME"

_LOCAL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
"""The errors of this machine's disk, which the commands have words for."""

_LOST = {"ConnectionError", "HTTPClientError", "TimeoutError", "ClientError", "TransportError"}
"""The classes of errors of a connection: Python's, botocore's, aiohttp's and Google's."""

T = TypeVar("T")
R = TypeVar("R")


@dataclasses.dataclass(frozen=True)
class Stored:
    """An object: its size in bytes, and its ETag, which a change of its content changes."""

    size: int
    etag: str


def is_address(text: str) -> bool:
    """Returns whether `text` begins like an address, `SCHEME://`, and is no path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


def check_path(path: pathlib.Path) -> None:
    """Raises `DeeplabError` where `path` was an address before it became a path.

    A path of `s3://BUCKET/NAME` would be a folder `s3:` on this machine.
    """
    schemes = [part[:-1].lower() for part in path.parts if part.endswith(":")]
    # Two letters or more, since one is a drive of Windows.
    first = re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]+:", path.parts[0] if path.parts else "")
    if first or not _SCHEMES.isdisjoint(schemes):
        raise DeeplabError(
            f"{path} is the address of a store and no path on this machine; take "
            "deeplab_tf.files.mirrored(ADDRESS) to write there, or the commands' flags"
        )


class Store:
    """The objects whose names begin with an address.

    Attributes:
        address: the address without a slash at its end.
        parent: bucket and folder of the address, `BUCKET/A`; names of objects are relative to it.
        name: the last part of the address.

    Args:
        address: `s3://BUCKET/A/NAME` or `gs://BUCKET/A/NAME`.

    Raises:
        DeeplabError: the address has another form, or the scheme's package is missing.
    """

    def __init__(self, address: str):
        scheme, _, rest = address.partition("://")
        scheme = scheme.lower()
        self.address = f"{scheme}://{rest.rstrip('/')}"
        self.parent, _, self.name = rest.rstrip("/").rpartition("/")
        if scheme not in PACKAGES:
            raise DeeplabError(f"an address must be {_FORM}. Received: {address}")
        if not self.parent or {"", ".", ".."} & {self.name, *self.parent.split("/")}:
            raise DeeplabError(
                f"an address must name something inside a bucket, {_FORM}, without empty parts. "
                f"Received: {address}"
            )
        self._scheme = scheme
        try:
            importlib.import_module(PACKAGES[scheme])
            import fsspec
        except ImportError as error:
            raise DeeplabError(
                f"{address} needs {PACKAGES[scheme]}; pip install {PACKAGES[scheme]}"
            ) from error
        with self._said():
            self._files = fsspec.filesystem(scheme, use_listings_cache=False, **OPTIONS[scheme])
            if scheme == "s3":
                self._files.retries = TRIES

    def address_of(self, name: str) -> str:
        """Returns the address of the object `name`."""
        return f"{self._scheme}://{self.parent}/{name}"

    def bucket(self) -> "Store":
        """Returns the store of the names in the whole bucket, as those of the folders above."""
        return Store("/".join(self.address.split("/")[:4]))

    def key(self, name: str) -> str:
        """Returns the name in the bucket of the object `name`."""
        return f"{self.parent}/{name}".partition("/")[2]

    def objects(self, begin: str) -> dict[str, Stored]:
        """Returns the objects below the folder `begin`, and the object of that name, by name."""
        with self._said():
            folder, _, last = self._path(begin).rpartition("/")
            try:
                # Not by the folder's own path, for which the libraries look for an object too.
                found = self._files.find(folder, prefix=f"{last}/", detail=True, withdirs=False)
            except FileNotFoundError:
                if "/" not in self.parent:
                    raise
                found = {}
        objects = {}
        for path, info in found.items():
            name = path.removeprefix(f"{self.parent}/")
            if info.get("type") == "directory" or name.endswith("/"):
                continue  # the consoles of stores make such objects to show a folder
            if name.rpartition("/")[2] == HELD:
                continue
            if {"", ".", ".."} & set(name.split("/")):
                raise DeeplabError(
                    f"{self.address_of(name)} is no name of a file; rename or remove the object"
                )
            objects[name] = _stored(info)
        itself = self.stored(begin)
        return {begin: itself, **objects} if itself else objects

    def stored(self, name: str) -> Stored | None:
        """Returns the object `name`; None where there is none."""
        with self._said():
            try:
                info = self._files.info(self._path(name))
            except FileNotFoundError:
                return None
        return None if info.get("type") == "directory" else _stored(info)

    def below(self) -> list[str]:
        """Returns the names of what lies directly below the address."""
        with self._said():
            try:
                found = self._files.ls(f"{self.parent}/{self.name}", detail=False)
            except FileNotFoundError:
                return []
        return sorted({path.rstrip("/").rpartition("/")[2] for path in found} - {self.name})

    def get(self, name: str, path: pathlib.Path) -> None:
        """Writes the content of the object `name` to `path`.

        Raises:
            FileNotFoundError: there is no such object any more.
        """
        with self._said(passes=FileNotFoundError):
            self._files.get_file(self._path(name), str(path))

    def put(self, path: pathlib.Path, name: str) -> None:
        """Makes the file `path` the object `name`, which is the old one or the new at any time."""
        with self._said():
            self._files.put_file(str(path), self._path(name))

    def read(self, name: str) -> bytes | None:
        """Returns the content of the object `name`; None where there is none."""
        with self._said():
            try:
                return self._files.cat_file(self._path(name))
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """Makes `content` the object `name`."""
        with self._said():
            self._files.pipe_file(self._path(name), content)

    def create(self, name: str, content: bytes) -> bool:
        """Makes `content` the object `name` where there is none; returns whether it did."""
        with self._said():
            try:
                self._files.pipe_file(self._path(name), content, mode="create")
            except FileExistsError:
                return False
        return True

    def delete(self, names: Iterable[str]) -> None:
        """Removes the objects `names`, some of which may be gone already."""

        def remove(name: str) -> None:
            with contextlib.suppress(FileNotFoundError):
                self._files.rm_file(self._path(name))  # `rm` takes brackets for a pattern

        with self._said():
            side_by_side(remove, names)

    def _path(self, name: str) -> str:
        if "?versionId=" in name or not name.isprintable():  # s3fs takes it for another name
            raise DeeplabError(
                f"{self.address_of(name)!r}: a name must have no ?versionId= and no line break; "
                "rename or remove the object"
            )
        return f"{self.parent}/{name}"

    @contextlib.contextmanager
    def _said(self, passes: type[Exception] = DeeplabError) -> Iterator[None]:
        """Turns each error of a library below into one line.

        Args:
            passes: the kind of error that the caller handles.

        Raises:
            DeeplabError: the store cannot be reached, refuses, or has no such bucket.
        """
        try:
            yield
        except (DeeplabError, passes):
            raise
        except Exception as error:
            if isinstance(error, OSError) and (error.errno in _LOCAL or error.filename):
                raise
            raise self._error(error) from error

    def _error(self, error: Exception) -> DeeplabError:
        words = _words(error)
        if type(error).__name__ == "NoCredentialsError":
            return DeeplabError(
                f"{self.address}: no credentials in the environment (AWS_ACCESS_KEY_ID, a "
                "profile or a role); give some"
            )
        if isinstance(error, PermissionError):
            return DeeplabError(
                f"{self.address}: the store refuses access ({words}); check the credentials in the "
                "environment"
            )
        if _is_lost(error):
            return StoreLostError(
                f"{self.address}: the connection to the store is lost ({words}); run the same "
                "command again when the store answers"
            )
        if isinstance(error, FileNotFoundError):
            bucket = self.parent.partition("/")[0]
            return DeeplabError(
                f"{self.address}: there is no bucket {bucket!r}, or the object is gone; make the "
                "bucket or correct the address"
            )
        return DeeplabError(
            f"{self.address}: the store failed ({words}); correct the address or the environment"
        )


def _is_lost(error: BaseException | None) -> bool:
    """Returns whether the store was not reached, or had a failure of its own (500 and above)."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):  # botocore's, of an answer
            return response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500
        code = getattr(error, "code", None)  # gcsfs's
        if isinstance(code, int) and code >= 500:
            return True
        if _LOST & {base.__name__ for base in type(error).__mro__}:
            return True
        error = error.__cause__
    return False


def _stored(info: dict) -> Stored:
    etag = info.get("ETag") or info.get("etag") or info.get("md5Hash") or ""
    return Stored(int(info["size"]), str(etag).strip('"'))


def side_by_side(call: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Returns what `call` gives for each item, of which some are in work at a time."""
    with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(pool.map(call, items))


def within(name: str, folder: str) -> bool:
    """Returns whether the object `name` is `folder` or lies below it."""
    return name == folder or name.startswith(f"{folder}/")


def _words(error: Exception) -> str:
    text = one_line(f"{type(error).__name__}: {error}")
    return re.sub(r"//[^/@\s]+@", "//", text)[:160]
