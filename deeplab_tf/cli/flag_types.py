"""The types of flags that absl lacks: each checks its value when the command line is parsed."""

import math
import pathlib
import re
from collections.abc import Callable, Sequence

from absl import flags

from deeplab_tf.config import OUTPUT_STRIDES

# absl files a flag under the module that defines it: here the one that calls this module.
flags.disclaim_key_flags()

DYNAMIC = "dynamic"
"""The value of an image size that stays open."""


def positive_number(text: str) -> float:
    """Returns a finite float above 0; raises `ValueError` for any other text."""
    number = float(text)
    if not 0 < number < math.inf:
        raise ValueError(text)
    return number


def expression(text: str) -> str:
    """Returns `text` if it is a regular expression, not empty; raises `ValueError` otherwise."""
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(text) from error
    if not text:
        raise ValueError(text)
    return text


def one_of(values: Sequence[str]) -> Callable[[str], str]:
    """Returns a function that takes one of `values` and raises `ValueError` for any other text."""

    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(text)
        return text

    return parse


class Items(flags.ArgumentParser):
    """A tuple of items, given with commas between.

    Args:
        convert: from the text of one item to its value; raises `ValueError` for a wrong text.
        condition: what the flag must be, for the message.
        count: the number of items; None takes one or more.
    """

    def __init__(self, convert: Callable[[str], object], condition: str, count: int | None = None):
        self._convert = convert
        self._condition = condition
        self._count = count

    def parse(self, argument: str | tuple) -> tuple:
        """Returns the items of the text `argument`; a default is a tuple already."""
        if isinstance(argument, tuple):
            return argument
        try:
            items = tuple(self._convert(item.strip()) for item in argument.split(","))
        except ValueError as error:
            raise ValueError(self._condition) from error
        if self._count not in (None, len(items)):
            raise ValueError(self._condition)
        return items


class ImageSize(Items):
    """(height, width) in pixels, or `DYNAMIC`."""

    def __init__(self):
        super().__init__(
            flags.IntegerParser(lower_bound=1).parse,
            f"must be H,W in pixels, e.g. --image_size=513,513, or {DYNAMIC}",
            count=2,
        )

    def parse(self, argument: str | tuple) -> tuple | str:
        """Returns (height, width) or `DYNAMIC`."""
        return DYNAMIC if argument == DYNAMIC else super().parse(argument)


class FileName(flags.ArgumentParser):
    """The path of a file with the given suffix."""

    def __init__(self, suffix: str):
        self._suffix = suffix

    def parse(self, argument: str) -> str:
        """Returns `argument`; raises `ValueError` for another suffix."""
        # The parser of all flags refuses an empty value.
        if argument and not argument.endswith(self._suffix):
            raise ValueError(f"must end in {self._suffix}")
        return argument


class OutputStride(flags.ArgumentParser):
    """One of `OUTPUT_STRIDES`, as an integer."""

    def __init__(self):
        self._enum = flags.EnumParser(map(str, OUTPUT_STRIDES))

    def parse(self, argument: str) -> int:
        """Returns the integer; raises `ValueError` for any other text."""
        return int(self._enum.parse(argument))


class WorkingSize(flags.ArgumentParser):
    """A number of pixels, or `none`, which is 0."""

    def parse(self, argument: str | int) -> int:
        """Returns the number of pixels; raises `ValueError` for any other text."""
        if argument == "none":
            return 0
        try:
            return flags.IntegerParser(lower_bound=1).parse(argument)
        except (ValueError, TypeError) as error:
            raise ValueError("must be a positive number of pixels, or none") from error


WHOLE_NUMBER = flags.IntegerParser(lower_bound=0).parse
SCALES = Items(positive_number, "must be positive numbers with commas between, as in 0.5,1,1.5")


def define_output_stride(help: str) -> flags.FlagHolder:
    """Defines the flag `--output_stride`, which is not given by default."""
    choices = "|".join(map(str, OUTPUT_STRIDES))
    return flags.DEFINE(OutputStride(), "output_stride", None, f"<{choices}>: {help}")


def define_working_size(help: str) -> flags.FlagHolder:
    """Defines the flag `--working_size`, which is not given by default."""
    return flags.DEFINE(WorkingSize(), "working_size", None, f"<none|N>: {help}")


class TwoNames(flags.Flag):
    """A text flag with a second name, which takes one value in all.

    Args:
        name, alias: the names; absl's alias of the second name parses by this flag.
        help: the meaning.
    """

    def __init__(self, name: str, alias: str, help: str):
        super().__init__(flags.ArgumentParser(), flags.ArgumentSerializer(), name, None, help)
        self._alias = alias

    def parse(self, argument: str) -> None:
        """Sets the value.

        Raises:
            flags.IllegalFlagValueError: the flag has another value already; paths are compared.
        """
        if self.present and pathlib.Path(argument) != pathlib.Path(str(self.value)):
            raise flags.IllegalFlagValueError(
                f"--{self.name} and --{self._alias} are one flag, with two values here, "
                f"{self.value} and {argument}: give one of them"
            )
        super().parse(argument)


def define_two_names(
    name: str, alias: str, help: str, *, required: bool = False
) -> flags.FlagHolder:
    """Defines a text flag with a second name; two different values end with exit code 2."""
    flag = flags.DEFINE_flag(TwoNames(name, alias, help), required=required)
    flags.DEFINE_alias(alias, name)
    return flag
