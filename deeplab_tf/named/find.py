"""From what a user gives as a model to a path: names are fetched and imported, once.

A text without a slash or a dot can be a name. A file or folder of that name in the current folder
goes before the model, and a line says so; `./NAME` is always a path.
"""

import contextlib
import difflib
import os
import pathlib
import re
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
LIKE = 0.5
"""How similar a name must be to be offered, of 1."""


def is_a_name(model: str | os.PathLike) -> bool:
    """Returns whether `model` stands for a model of the table, and not for a path.

    A `pathlib.Path` is always a path.
    """
    return isinstance(model, str) and model in MODELS and not os.path.lexists(model)


def model_path(model: str | os.PathLike, report: Callable[[str], None] = print) -> pathlib.Path:
    """Returns the path of a model that is given by its path or by its name.

    A path is returned as it is, whether or not it exists. A name leads to the `.keras` file in the
    user's cache; the first use fetches the published file, checks its hash and imports it. Several
    processes at once do that once.

    Args:
        model: a path, or a name of `MODELS`.
        report: gets a line for each thing that is fetched or imported, and one where a file or
            folder of the current folder has the name of a model.

    Raises:
        DeeplabError: a text without slash and dot is neither a path that exists nor a name; or the
            file cannot be fetched, has another hash, or cannot be imported.
    """
    if not isinstance(model, str) or not re.fullmatch(r"[\w-]+", model):
        return pathlib.Path(model)
    if os.path.lexists(model):
        if model in MODELS:
            report(
                f"note: {model} is taken from the current folder, not the published model of this "
                "name, which needs another folder or another name here"
            )
        return pathlib.Path(model)
    if model not in MODELS:
        near = difflib.get_close_matches(model, MODELS, cutoff=LIKE)
        nearest = f" (near: {', '.join(near)})" if near else ""
        raise DeeplabError(
            f"model {model} does not exist, and no published model has this name{nearest}; "
            "deeplab-models lists the names"
        )
    return fetched_model(model, report)


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
    with contextlib.ExitStack() as held:
        while True:
            try:
                held.enter_context(locked(folder))
                break
            except BlockingIOError:
                if not waits:
                    report(f"{name}: waiting for another process that fetches it")
                waits = True
                time.sleep(WAIT)
            except NoLocksError:
                break  # two processes would do the same work twice, each to a whole file
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
