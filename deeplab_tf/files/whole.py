"""Files and folders that are written whole or not at all, and that replace only what is ours.

The content is written under a temporary name, flushed to the disk, and renamed; then the folder is
flushed. After a power failure too, the old content is there or the new. What lies in the mirror of
a store is then committed there (`mirror.py`).

Tested in tests/test_files.py.
"""

import contextlib
import errno
import io
import os
import pathlib
from collections.abc import Iterator

from PIL import Image

from deeplab_tf.errors import DeeplabError
from deeplab_tf.files.mirror import committed, shown
from deeplab_tf.files.ours import Ours, check_file, check_folder
from deeplab_tf.files.store import check_path
from deeplab_tf.files.temporary import (
    made_folder,
    remove,
    remove_leftovers,
    remove_leftovers_once,
    temporary_path,
)
from deeplab_tf.machine.system import flush

SWAPS = 100
"""How often a folder is moved away for the one that replaces it, where other processes write it."""


@contextlib.contextmanager
def whole_file(
    path: pathlib.Path,
    ours: Ours,
    *,
    within: pathlib.Path | None = None,
    durable: bool = True,
) -> Iterator[pathlib.Path]:
    """Yields a temporary path to write to, which is renamed to `path` if the body ends well.

    The temporary path has the suffix of `path`. Where `path` is a link, the file that the link
    leads to is replaced.

    Args:
        path: the file; its folder is made.
        ours: recognises an existing file that may be replaced.
        within: the folder for the temporary path, on the same file system; None is that of `path`.
        durable: whether the file is flushed before it counts, which costs milliseconds; not for a
            file that the same command simply makes again.

    Raises:
        DeeplabError: there is a file or folder at `path` that is not ours.
    """
    if path.is_symlink():
        path = path.resolve()
    check_file(path, ours)
    with made_folder(path.parent):
        if within is None:
            remove_leftovers_once(path.parent.absolute())
        temporary = temporary_path(path, within)
        try:
            yield temporary
            if durable:
                flush(temporary)
            os.replace(temporary, path)
            if durable:
                flush(path.parent)
            committed(path)
        except OSError as error:
            # An error while writing, above all on a full disk, names no file, so `path` is added.
            error.filename = error.filename or str(path)
            raise
        finally:
            remove(temporary)


@contextlib.contextmanager
def whole_folder(path: pathlib.Path, ours: Ours, *, durable: bool = True) -> Iterator[pathlib.Path]:
    """Yields an empty temporary folder, which takes the place of `path` if the body ends well.

    Where `path` is a link, the folder that the link leads to is replaced.

    Args:
        path: the folder.
        ours: recognises an existing folder that may be replaced.
        durable: whether every file is flushed before the folder counts; see `whole_file`.

    Raises:
        DeeplabError: `path` is the current folder, a file, or a folder that is not ours.
    """
    check_path(path)  # before it is absolute
    path = path.resolve()
    if path == pathlib.Path.cwd():
        raise DeeplabError(
            f"{path} is the current folder and would be replaced; give another folder"
        )
    check_folder(path, ours)
    with made_folder(path.parent):
        remove_leftovers(path.parent)
        temporary = temporary_path(path)
        temporary.mkdir()
        try:
            yield temporary
            if durable:
                flush_tree(temporary)
            _take_place(temporary, path)
            if durable:
                flush(path.parent)
            committed(path)
        finally:
            remove(temporary)


def flush_tree(folder: pathlib.Path) -> None:
    """Flushes every file below `folder` and every folder, each after what it holds."""
    for root, _, names in os.walk(folder, topdown=False):
        for name in names:
            flush(pathlib.Path(root, name))
        flush(pathlib.Path(root))


def _take_place(new: pathlib.Path, path: pathlib.Path) -> None:
    """Renames the folder `new` to `path`, whose old folder is removed.

    os.replace does not replace a folder that has files, so the old folder is moved away first, and
    moved back where `new` cannot take its place.
    """
    for _ in range(SWAPS):
        old = temporary_path(path)
        if path.exists():
            with contextlib.suppress(FileNotFoundError):  # another process has moved it away
                os.replace(path, old)
        try:
            os.replace(new, path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                if old.exists():
                    os.replace(old, path)
                raise
            remove(old)  # another process has put its own folder there in the meantime
        else:
            remove(old)
            return
    raise DeeplabError(f"{path} is being replaced by other processes all the time; try again")


def write_text(path: pathlib.Path, text: str, ours: Ours) -> None:
    """Writes `text` to `path`, which has either the old text or the new text, never a part.

    A path in the text that stands for an address of a store becomes the address.
    """
    with whole_file(path, ours) as temporary:
        temporary.write_text(shown(text))


def write_jpeg(
    path: pathlib.Path,
    picture: Image.Image,
    quality: int,
    ours: Ours,
    *,
    comment: str = "",
    within: pathlib.Path | None = None,
    durable: bool = True,
) -> None:
    """Writes `picture` as a JPEG to `path`, which has the old picture or the new, never a part.

    Args:
        path: the file.
        picture: the picture.
        quality: Pillow's, 0 to 95.
        ours, within, durable: as for `whole_file`.
        comment: the comment inside the JPEG.
    """
    encoded = io.BytesIO()
    # Pillow writes a cut JPEG onto a full disk without an error, so it encodes in memory.
    picture.save(encoded, "JPEG", quality=quality, comment=comment)
    with whole_file(path, ours, within=within, durable=durable) as temporary:
        temporary.write_bytes(encoded.getvalue())
