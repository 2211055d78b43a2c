"""Which flags go together: a table of rules a binary, each with the message of a broken rule."""

import inspect
from collections.abc import Callable

from absl import flags


def require(rules: dict[str, Callable[..., object]]) -> None:
    """Makes the rules hold when the command line is parsed; exit code 2 where one does not.

    Args:
        rules: from the message to a function whose parameters are names of flags. The function
            gets the values of these flags, and returns whether they go together.
    """
    for message, holds in rules.items():
        flags.register_multi_flags_validator(
            list(inspect.signature(holds).parameters),
            lambda values, holds=holds: bool(holds(**values)),
            message,
        )


def is_given(value: object) -> bool:
    """Returns whether a flag was given: its value is neither None nor False."""
    return value is not None and value is not False
