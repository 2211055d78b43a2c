"""The imported `.keras` file of a published model, made at its first use by one process.

Tested in tests/named/test_find.py, through `model_path`.
"""

import contextlib
import pathlib
import sys
import time
from collections.abc import Callable, Iterator

from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import remove_leftovers, temporary_folder
from deeplab_tf.machine.system import NoLocksError, locked
from deeplab_tf.named.archive import SUFFIX, unpack_checkpoint
from deeplab_tf.named.cache import cache_folder, imported_file
from deeplab_tf.named.fetch import published_file
from deeplab_tf.named.import_process import import_in_a_process
from deeplab_tf.named.table import MODELS

WAIT = 0.2
"""Seconds between two looks at whether another process has finished."""


def fetched_model(name: str, report: Callable[[str], None] = print) -> pathlib.Path:
    """Returns the `.keras` file of the model `name` of `MODELS`, as `model_path` does for a name.

    Files of the current folder do not count.

    Raises:
        DeeplabError: the file cannot be fetched, has another hash, or cannot be imported.
    """
    model = MODELS[name]
    out = imported_file(name, model)
    if out and out.is_file():
        return out
    with held(name, report):
        out = imported_file(name, model)
        if out and out.is_file():  # by the process that was waited for
            return out
        remove_leftovers(cache_folder(name))
        path = published_file(name, model, report)
        out = imported_file(name, model)
        assert out is not None  # the published file is there now
        with contextlib.ExitStack() as unpacked:
            if path.name.endswith(SUFFIX):
                folder = unpacked.enter_context(temporary_folder(out.parent))
                path = unpack_checkpoint(path, folder)
            import_in_a_process(model.source, path, out)
    report(f"{name}: imported into {out}")
    return out


@contextlib.contextmanager
def held(name: str, report: Callable[[str], None]) -> Iterator[None]:
    """Makes and holds the model's folder in the cache; waits for another process that holds it."""
    folder = cache_folder(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        # Other systems have no variable for their cache that all versions of pooch look at.
        remedy = (
            "set XDG_CACHE_HOME to a folder that can be written"
            if sys.platform == "linux"
            else "make it yourself, or see that its parent folders can be written"
        )
        raise DeeplabError(
            f"the cache {folder} cannot be made ({error.strerror}); {remedy}"
        ) from error
    waits = False
    with contextlib.ExitStack() as lock:
        while True:
            try:
                lock.enter_context(locked(folder))
                break
            except BlockingIOError:
                if not waits:
                    report(f"{name}: waiting for another process that fetches it")
                waits = True
                time.sleep(WAIT)
            except NoLocksError as error:
                report(
                    f"note: the file system of {folder} has no locks ({error.strerror}), so a "
                    "second process there would not be noticed; start only one"
                )
                break
        yield
