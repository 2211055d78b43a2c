"""The objects of a store such as S3, by their addresses, with errors of one line.

Tested in tests/test_store.py.
"""

import contextlib
import dataclasses
import importlib
import pathlib
import re
from collections.abc import Iterable, Iterator

from deeplab_tf.errors import DeeplabError, one_line

PACKAGES = {"s3": "s3fs", "gs": "gcsfs"}
"""The package that speaks to the stores of each scheme, all by fsspec's interface."""

OPTIONS: dict[str, dict] = {
    "s3": {"config_kwargs": {"connect_timeout": 10, "read_timeout": 60}},
    "gs": {},
}
"""The options of each scheme. How often a connection is tried before it counts as lost is the
libraries' affair (AWS_MAX_ATTEMPTS)."""

HELD = ".held.json"
"""The object by which a process holds the folder around it, which is no file; see `lease`."""

_SCHEMES = {*PACKAGES, "s3a", "gcs", "abfs", "abfss", "az", "adl", "hdfs"}
_FORM = "s3://BUCKET/NAME or gs://BUCKET/NAME"


@dataclasses.dataclass(frozen=True)
class Stored:
    """An object: its size in bytes, and a mark that a change of its content changes."""

    size: int
    mark: str


def is_address(text: str) -> bool:
    """Returns whether `text` begins like an address, `SCHEME://`, and is no path."""
    return re.match(r"[a-z][a-z0-9+.-]*://", text) is not None


def check_path(path: pathlib.Path) -> None:
    """Raises `DeeplabError` where `path` was an address before it became a path.

    A path of `s3://BUCKET/NAME` would be a folder `s3:` on this machine.
    """
    if any(part.removesuffix(":") in _SCHEMES for part in path.parts if part.endswith(":")):
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
        self.address = address.rstrip("/")
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

    def address_of(self, name: str) -> str:
        """Returns the address of the object `name`."""
        return f"{self._scheme}://{self.parent}/{name}"

    def objects(self, begin: str) -> dict[str, Stored]:
        """Returns the objects below the folder `begin`, or the object of that name, by name."""
        return {n: s for n, s in self.beginning(begin).items() if within(n, begin)}

    def beginning(self, begin: str) -> dict[str, Stored]:
        """Returns the objects whose names begin with the text `begin`, by name."""
        with self._said():
            folder, _, last = f"{self.parent}/{begin}".rpartition("/")
            try:
                found = self._files.find(folder, prefix=last, detail=True, withdirs=False)
            except FileNotFoundError:
                if "/" in self.parent:
                    return {}
                raise
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
            mark = info.get("ETag") or info.get("etag") or info.get("md5Hash") or ""
            objects[name] = Stored(int(info["size"]), str(mark))
        return objects

    def folders(self) -> list[str]:
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
            self._files.get_file(f"{self.parent}/{name}", str(path))

    def put(self, path: pathlib.Path, name: str) -> None:
        """Makes the file `path` the object `name`, which is the old one or the new at any time."""
        with self._said():
            self._files.put_file(str(path), f"{self.parent}/{name}")

    def read(self, name: str) -> bytes | None:
        """Returns the content of the object `name`; None where there is none."""
        with self._said():
            try:
                return self._files.cat_file(f"{self.parent}/{name}")
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """Makes `content` the object `name`."""
        with self._said():
            self._files.pipe_file(f"{self.parent}/{name}", content)

    def create(self, name: str, content: bytes) -> bool:
        """Makes `content` the object `name` where there is none; returns whether it did."""
        with self._said():
            try:
                self._files.pipe_file(f"{self.parent}/{name}", content, mode="create")
            except FileExistsError:
                return False
        return True

    def delete(self, names: Iterable[str]) -> None:
        """Removes the objects `names`, some of which may be gone already."""
        paths = [f"{self.parent}/{name}" for name in names]
        if paths:
            with self._said(), contextlib.suppress(FileNotFoundError):
                self._files.rm(paths)

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
        except (DeeplabError, passes, FileExistsError):
            raise
        except FileNotFoundError as error:
            bucket = self.parent.partition("/")[0]
            raise DeeplabError(
                f"{self.address}: there is no bucket {bucket!r}, or the object is gone; make the "
                "bucket or correct the address"
            ) from error
        except PermissionError as error:
            raise DeeplabError(
                f"{self.address}: the store refuses access ({_words(error)}); check the "
                "credentials in the environment"
            ) from error
        except Exception as error:
            if type(error).__name__ == "NoCredentialsError":
                raise DeeplabError(
                    f"{self.address}: no credentials in the environment (AWS_ACCESS_KEY_ID, a "
                    "profile or a role); give some"
                ) from error
            raise DeeplabError(
                f"{self.address}: the connection to the store is lost ({_words(error)}); run the "
                "same command again when the store answers"
            ) from error


def within(name: str, folder: str) -> bool:
    """Returns whether the object `name` is `folder` or lies below it."""
    return name == folder or name.startswith(f"{folder}/")


def _words(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {error}")[:160]
