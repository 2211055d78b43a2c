"""The fields of an experiment as `--help` lists them: name, choices, default, meaning."""

import dataclasses
import enum
import inspect
import itertools
import re
import textwrap
import types
import typing

from deeplab_tf import config
from deeplab_tf.config import Experiment

SECTIONS = ("model", "data", "train", "evaluate")
WIDTH = 100
NO_FLAGS = ("row", "image_format")
"""Fields that the program fills in: the row's name, and the bands of the data set."""


def list_fields() -> str:
    """Returns every field that `--config.SECTION.FIELD=VALUE` can override, a paragraph each."""
    experiment = Experiment()
    parts = []
    for section in SECTIONS:
        parts += _fields(getattr(experiment, section), f"--config.{section}.")
    own = [name for name in meanings(Experiment) if name not in SECTIONS]
    return "\n".join([*_fields(experiment, "--config.", own), *parts])


def meanings(section: type) -> dict[str, str]:
    """Returns what the docstring of a config class says of each field, as one line of text.

    A field whose meaning is that of its type, "see `Loss`", has the docstring of the type.
    """
    text = inspect.getdoc(section) or ""
    found = {}
    for names, meaning in re.findall(
        r"^    (\w+(?:, \w+)*): (.*?)(?=^    \w|\Z)",
        text.partition("Attributes:\n")[2],
        re.M | re.S,
    ):
        meaning = " ".join(meaning.split())
        if see := re.fullmatch(r"see `(\w+)`(.*)", meaning):
            meaning = " ".join((inspect.getdoc(getattr(config, see[1])) or "").split()) + see[2]
        for name in names.split(", "):
            found[name] = meaning.removesuffix("..") + ("." if meaning.endswith("..") else "")
    return found


def _fields(section: object, prefix: str, names: list[str] | None = None) -> list[str]:
    """Returns the lines of a section; fields with one meaning stand together above it."""
    hints, meaning = typing.get_type_hints(type(section)), meanings(type(section))
    fields = dataclasses.fields(section)  # pyright: ignore[reportArgumentType]
    fields = [
        field.name
        for field in fields
        if field.name not in NO_FLAGS and (names is None or field.name in names)
    ]
    lines = []
    for name, after in itertools.zip_longest(fields, fields[1:]):
        value = getattr(section, name)
        default = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        lines.append(f"  {prefix}{name}{_choices(hints[name])} (default: {default or 'none'})")
        if after is None or meaning[after] != meaning[name]:
            indent = " " * 6
            lines += textwrap.wrap(
                meaning[name], WIDTH, initial_indent=indent, subsequent_indent=indent
            )
    return lines


def _choices(hint: object) -> str:
    """Returns ` <a|b>` for a field with a fixed set of values."""
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return f" <{'|'.join(str(value) for value in kind)}>"
    return ""
