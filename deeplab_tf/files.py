"""Files and folders that are written whole or not at all, and a stderr that is kept quiet.

Tested in tests/images/test_drawing.py and tests/test_machine.py.
"""

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
    """Yields a temporary path to write to, which is renamed to `path` if the body ends well.

    The temporary path has the suffix of `path`, from which Pillow and others take the format.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".writing-{path.name}")
    try:
        yield beside
        os.replace(beside, path)
    except OSError as error:
        # An error while writing, above all on a full disk, names no file, so `path` is added.
        error.filename = error.filename or str(path)
        raise
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields an empty temporary folder, which takes the place of `path` if the body ends well.

    Where `path` is a link, the folder that the link leads to is replaced.

    Raises:
        DeeplabError: `path` is the current folder.
    """
    path = path.resolve()
    if path == pathlib.Path.cwd():
        raise DeeplabError(
            f"{path} is the current folder and would be replaced; give another folder"
        )
    beside = path.with_name(f".writing-{path.name}")
    before = path.with_name(f".before-{path.name}")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        yield beside
        # os.replace does not replace a folder that has files, so the old folder is moved first.
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
    """Makes the folder `path` and holds it until the block or this process ends, however it ends.

    A folder that was made here and stays empty is removed again.

    Raises:
        DeeplabError: another process holds the folder; the message begins with `busy`.
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
                folder.rmdir()  # fails, as it should, where something was written


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes `text` to `path`, which has either the old text or the new text, never a part."""
    with whole_file(path) as beside:
        beside.write_text(text)


def write_jpeg(path: pathlib.Path, picture: Image.Image, quality: int) -> None:
    """Writes `picture` as a JPEG to `path`, which has the old picture or the new, never a part.

    `quality` is Pillow's, 0 to 95.
    """
    encoded = io.BytesIO()
    # Pillow writes a cut JPEG onto a full disk without an error, so it encodes in memory.
    picture.save(encoded, "JPEG", quality=quality)
    with whole_file(path) as beside:
        beside.write_bytes(encoded.getvalue())


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Discards what is written to file descriptor 2 during the block; exceptions pass as usual.

    TensorFlow's import and the LiteRT converter and interpreter print notes to stderr that no log
    level suppresses.
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
