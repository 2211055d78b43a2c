"""The models that a server begins with, and the folders that it looks at for further versions.

Tested in tests/serving/test_several_models.py.
"""

import functools
import os
import pathlib
import re
from collections.abc import Callable, Sequence

from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import is_address, shown
from deeplab_tf.serving.model_folder import ModelFolder
from deeplab_tf.serving.served_model import ServedModel, open_answering
from deeplab_tf.serving.version_files import has_versions
from deeplab_tf.serving.version_policy import VersionPolicy


def split_name(text: str) -> tuple[str | None, str]:
    """Returns the name and the model of NAME=MODEL; no name where `text` is a path that exists."""
    found = re.fullmatch(r"([\w.-]+)=(.+)", text)
    if found is None or os.path.lexists(text):
        return None, text
    return found[1], found[2]


def open_models(
    sources: Sequence[tuple[pathlib.Path, str | None]],
    policy: VersionPolicy,
    working_size: int | None,
    report: Callable[[str], None],
) -> tuple[list[ServedModel], list[ModelFolder]]:
    """Loads the models to begin with.

    Args:
        sources: the path and the name of each model; without a name that of the folder, without a
            number.
        policy: the versions that are wanted of a folder of numbered ones.
        working_size: as of `open_answering`.
        report: gets the lines for the log.

    Returns:
        The versions of all models, and the folders of numbered versions among `sources` that may
        get further ones: not those that were fetched from an address of a store.

    Raises:
        DeeplabError: two models have one name, one has no version that can be served, or `policy`
            chooses and there is no folder of versions.
    """
    if policy != VersionPolicy() and not any(has_versions(path) for path, _ in sources):
        raise DeeplabError(
            "--versions chooses among the numbered models of a folder, and no --model is one; give "
            "the folder, --model=street in place of street/1, or leave --versions out"
        )
    models: list[ServedModel] = []
    folders: list[ModelFolder] = []
    names: set[str] = set()
    for path, name in sources:
        called = name or _name_of(path)
        if called in names:
            raise DeeplabError(
                f"each model must have a name of its own; received {called} twice: give "
                "--model=NAME=MODEL"
            )
        names.add(called)
        load = functools.partial(open_answering, name=called, working_size=working_size)
        if has_versions(path):
            folder = ModelFolder(path, called, policy, load, report)
            models += folder.open_first()
            if is_address(shown(str(path))):
                report(f"{called}: {path} was fetched once; further versions there are not seen")
            else:
                folders.append(folder)
        else:
            models.append(load(path))
    return models, folders


def _name_of(path: pathlib.Path) -> str:
    path = path.absolute()
    return path.parent.name if path.name.isdecimal() and not has_versions(path) else path.name
