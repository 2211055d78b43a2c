"""Files and file descriptors: results that are whole or absent, and a quiet stderr."""

import contextlib
import io
import os
import pathlib
import shutil
import sys
from collections.abc import Iterator

from PIL import Image

from deeplab_tf.errors import DeeplabError
from deeplab_tf.machine.system import locked


@contextlib.contextmanager
def whole_file(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a path beside `path` to write to; renames it to `path` if the body ends well.

    The path beside keeps the suffix, from which Pillow and others take the format.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".writing-{path.name}")
    try:
        yield beside
        os.replace(beside, path)
    except OSError as error:
        # What fails while writing, on a full disk above all, does not know its file.
        error.filename = error.filename or str(path)
        raise
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives an empty folder beside `path`; it takes the place of `path` if the body ends well.

    Where `path` is a link, the folder that it leads to is replaced.
    """
    path = path.resolve()
    if path == pathlib.Path.cwd():
        raise DeeplabError(f"{path} is the current folder and would be replaced; give another")
    beside = path.with_name(f".writing-{path.name}")
    before = path.with_name(f".before-{path.name}")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        yield beside
        # A folder cannot be renamed over a full one.
        shutil.rmtree(before, ignore_errors=True)
        if path.exists():
            os.replace(path, before)
        os.replace(beside, path)
        shutil.rmtree(before, ignore_errors=True)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        if before.exists() and not path.exists():
            os.replace(before, path)


@contextlib.contextmanager
def held_folder(path: pathlib.Path, busy: str) -> Iterator[None]:
    """Makes the folder `path` and holds it against other processes, however this one ends.

    A folder that was made here and stays empty is removed again.

    Raises:
        DeeplabError: another process holds it; `busy` says so.
    """
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    try:
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(locked(path))
            except BlockingIOError as error:
                raise DeeplabError(f"{busy}; wait until it ends") from error
            yield
    finally:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()  # goes only where nothing was written


def write_text(path: pathlib.Path, text: str) -> None:
    """`path` has the old text or the new one, never a part."""
    with whole_file(path) as beside:
        beside.write_text(text)


def write_jpeg(path: pathlib.Path, picture: Image.Image, quality: int) -> None:
    """`path` has the old picture or the new one, never a part; `quality` is Pillow's, 0 to 95."""
    encoded = io.BytesIO()
    # In memory first: Pillow itself writes a cut JPEG onto a full disk and does not say so.
    picture.save(encoded, "JPEG", quality=quality)
    with whole_file(path) as beside:
        beside.write_bytes(encoded.getvalue())


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Turns file descriptor 2 away for the block; exceptions pass as usual.

    TensorFlow's import and the LiteRT converter and interpreter print notes there that no log level
    holds back.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    try:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(stderr, 2)
        os.close(stderr)
