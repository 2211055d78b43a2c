"""Experiments by name: the rows of config files, of which the shipped are found from any folder.

Tested in tests/test_config.py.
"""

import dataclasses
import difflib
import functools
import importlib.util
import pathlib

from deeplab_tf.config.schema import Experiment
from deeplab_tf.config.validation import from_json, validate
from deeplab_tf.errors import DeeplabError, one_line


def load_experiment(spec: str, *, shipped: bool = False) -> Experiment:
    """Returns the experiment that `spec` names.

    Args:
        spec: `FILE.py:ROW`, where FILE is a path or the name of a shipped config
            (`configs/voc.py:resnet101`), or the path of a `config.json`.
        shipped: whether to take the shipped config even where the current folder has a file of
            that name.

    Raises:
        DeeplabError: the file or the row does not exist, or is not valid. The message for a row
            that does not exist suggests the nearest rows and lists all.
    """
    if spec.endswith(".json"):
        path = pathlib.Path(spec)
        if not path.is_file():
            raise DeeplabError(f"config file {spec} does not exist")
        try:
            return from_json(path.read_text())
        except (DeeplabError, UnicodeDecodeError) as error:
            raise DeeplabError(f"config file {spec}: {one_line(str(error))}") from error
    file, _, row = spec.partition(":")
    path = _find_config_file(file, shipped)
    rows = _read_rows(path, spec)
    if row not in rows:
        near = difflib.get_close_matches(row, rows, n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        problem = f"has no row {row!r}" if row else "needs a row"
        raise DeeplabError(f"{file} {problem}: {hint}rows are {', '.join(rows)}")
    return _named(rows[row], path, row)


def load_rows(file: str) -> dict[str, Experiment]:
    """Returns every row of the config `file`, by name, in the file's order.

    Raises:
        DeeplabError: the file does not exist, or one of its rows is not valid.
    """
    path = _find_config_file(file)
    rows = _read_rows(path, file)
    return {row: _named(experiment, path, row) for row, experiment in rows.items()}


def _named(experiment: object, path: pathlib.Path, row: str) -> Experiment:
    """Returns a validated copy of `experiment` with its own name, which errors begin with.

    A row's network must be known without a file of the user's, so `model.like` is only a flag.
    """
    name = f"{_shipped_name(path) or path.resolve()}:{row}"
    if not isinstance(experiment, Experiment):
        raise DeeplabError(
            f"config row {name} must be an Experiment of deeplab_tf.config. Received: "
            f"{one_line(repr(experiment))[:200]}"
        )
    if experiment.model.like is not None:
        raise DeeplabError(f"config row {name} must leave model.like to a flag")
    try:
        return validate(dataclasses.replace(experiment, row=name))
    except DeeplabError as error:
        raise DeeplabError(f"config row {name}: {error}") from error


def _find_config_file(file: str, shipped: bool = False) -> pathlib.Path:
    """Returns the path of `file` itself, or of the config that the package ships by that name."""
    path = pathlib.Path(file)
    if path.is_file() and not shipped:
        return path
    inside = path.relative_to("configs") if path.parts[:1] == ("configs",) else path
    for root in _shipped_roots():
        if (root / inside).is_file():
            return root / inside
    names = sorted(
        str(_shipped_name(found))
        for root in _shipped_roots()
        for found in root.rglob("*.py")
        if found.name != "__init__.py"
    )
    raise DeeplabError(f"config file {file} does not exist; shipped are {', '.join(names)}")


def _shipped_roots() -> list[pathlib.Path]:
    """Lists the folders with the configs that the package ships."""
    package = importlib.util.find_spec("deeplab_tf.configs")
    return [pathlib.Path(root) for root in (package and package.submodule_search_locations) or ()]


def _shipped_name(path: pathlib.Path) -> str | None:
    """Returns `configs/FILE.py`, wherever the package lies; None for a file of the user's own."""
    for root in _shipped_roots():
        if path.resolve().is_relative_to(root.resolve()):
            return f"configs/{path.resolve().relative_to(root.resolve()).as_posix()}"
    return None


def _read_rows(path: pathlib.Path, given: str) -> dict[str, object]:
    """Returns `EXPERIMENTS` from the config module at `path`, which errors name as `given`.

    A shipped module runs once in a process: its rows are made of other modules' rows, theirs of
    others again, and `miniature.py` alone ran a thousand modules.
    """
    shipped = _shipped_name(path)
    return _rows_of_shipped(path.resolve(), shipped) if shipped else _rows_of(path, given)


def _rows_of(path: pathlib.Path, given: str) -> dict[str, object]:
    """Runs the module at `path`; the rest is as of `_read_rows`."""
    spec = importlib.util.spec_from_file_location(f"deeplab_config_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise DeeplabError(f"config file {path} is not a Python file; give FILE.py:ROW")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the module is the user's own code, which may raise anything
        raise DeeplabError(
            f"config file {given} does not load: {type(error).__name__}: {one_line(str(error))}"
        ) from error
    rows = getattr(module, "EXPERIMENTS", None)
    if not isinstance(rows, dict):
        raise DeeplabError(
            f"config file {path} must define EXPERIMENTS, a dict of name: Experiment"
        )
    return rows


_rows_of_shipped = functools.cache(_rows_of)
