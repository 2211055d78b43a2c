"""The imported `.keras` file of a published model, made at its first use by one process.

Tested in tests/named/test_find.py, through `model_path`.
"""

import contextlib
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.files import remove_leftovers, temporary_folder
from deeplab_tf.machine.system import NoLocksError, locked
from deeplab_tf.named.archive import SUFFIX, unpack_checkpoint
from deeplab_tf.named.cache import cache_folder, imported_file
from deeplab_tf.named.fetch import published_file
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
    if out.is_file():
        return out
    with held(name, report):
        if out.is_file():  # by the process that was waited for
            return out
        remove_leftovers(out.parent)
        path = published_file(name, model, report)
        with contextlib.ExitStack() as unpacked:
            if path.name.endswith(SUFFIX):
                folder = unpacked.enter_context(temporary_folder(out.parent))
                path = unpack_checkpoint(path, folder)
            _import(model.source, path, out)
    report(f"{name}: imported into {out}")
    return out


@contextlib.contextmanager
def held(name: str, report: Callable[[str], None]) -> Iterator[None]:
    """Makes and holds the model's folder in the cache; waits for another process that holds it."""
    folder = cache_folder(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeeplabError(
            f"the cache {folder} cannot be made ({error.strerror}); set XDG_CACHE_HOME to a folder "
            "that can be written"
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


def _import(source: str, path: pathlib.Path, out: pathlib.Path) -> None:
    if source == "torchvision":
        # torch's libraries crash where TensorFlow was loaded before them, so a new process imports.
        command = [sys.executable, "-m", "deeplab_tf.cli.import_weights", f"--source={source}"]
        command += [f"--weights={path}", f"--out={out}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["the import failed"]
            raise DeeplabError(one_line(said[-1]).removeprefix("deeplab-import: error: "))
        return
    from deeplab_tf.weights.convert import run_import

    run_import(source, path, out, [])
