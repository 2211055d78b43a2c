"""The flags that take the address of a store, `s3://` or `gs://`, and a path here for each.

A command sees the path only; what it prints has the address again.
"""

import contextlib
import enum
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TextIO

from absl import flags

from deeplab_tf.files import (
    fetched,
    fetched_parts,
    fetched_pattern,
    is_address,
    mirrored,
    shown,
)


class Use(enum.Enum):
    """What a command does with what a flag names.

    The commands read a file or folder (`READ`), what matches a pattern (`PATTERN`), or some data
    sets of a folder (`PARTS`). They write a file or folder that may be read before (`WRITE`), or
    data sets into a folder (`WRITE_PARTS`).
    """

    READ = enum.auto()
    PATTERN = enum.auto()
    PARTS = enum.auto()
    WRITE = enum.auto()
    WRITE_PARTS = enum.auto()


class WrongUseError(ValueError):
    """A flag that takes no address has one."""


def check_addresses(
    own: Sequence[flags.Flag], uses: Mapping[str, Use], argv: Sequence[str]
) -> None:
    """Raises `WrongUseError` where a flag has an address that it does not take."""
    for argument in argv:
        name, _, value = argument.lstrip("-").partition("=")
        if name.startswith("config") and is_address(value):
            raise WrongUseError(
                f"--{name} takes no address of a store; fetch the file and give its path"
            )
    addressed = [flag for flag in own if _has_address(flag)]
    for flag in addressed:
        if flag.name not in uses:
            takes = ", ".join(f"--{name}" for name in uses) or "no flag of this command"
            raise WrongUseError(
                f"--{flag.name} takes no address of a store ({takes} may). Received: {flag.value}"
            )
    if addressed and "runner" in flags.FLAGS and flags.FLAGS["runner"].value:
        raise WrongUseError(
            f"--{addressed[0].name}={addressed[0].value} does not go with --runner, whose workers "
            "must all see one path; give a shared folder, or leave --runner out"
        )


@contextlib.contextmanager
def local_flags(own: Sequence[flags.Flag], uses: Mapping[str, Use]) -> Iterator[None]:
    """Gives each flag that has an address a path of this machine while the block runs.

    What is read is fetched before, and what the block writes is committed to the store.

    Raises:
        DeeplabError: a store cannot be reached, or does not have what is read.
    """
    addressed = [flag for flag in own if _has_address(flag)]
    if not addressed:
        yield
        return
    with contextlib.ExitStack() as stack:
        for flag in addressed:
            use = uses[flag.name]
            if isinstance(flag.value, list):
                flag.value = [_local_value(stack, value, use) for value in flag.value]
            elif _has_address(flag):  # an alias has the value of its flag, which is a path by now
                flag.value = _local(stack, str(flag.value), use)
        stack.enter_context(contextlib.redirect_stdout(_Shown(sys.stdout)))
        stack.enter_context(contextlib.redirect_stderr(_Shown(sys.stderr)))
        yield


def _has_address(flag: flags.Flag) -> bool:
    if flag.name == "beam_options":  # has addresses of schedulers, and stores that Beam opens
        return False
    if isinstance(flag.value, list):
        return any(names_address(str(value)) for value in flag.value)
    return is_address(str(flag.value))


def names_address(value: str) -> bool:
    """Returns whether a value, which may begin with `NAME=`, is an address."""
    return is_address(_named(value)[1])


def _named(value: str) -> tuple[str, str]:
    """Returns the `NAME=` before an address in a flag that is given several times, and the rest."""
    name, equals, rest = value.partition("=")
    return (name + equals, rest) if is_address(rest) else ("", value)


def _local_value(stack: contextlib.ExitStack, value: str, use: Use) -> str:
    name, rest = _named(value)
    return name + _local(stack, rest, use) if is_address(rest) else value


def _local(stack: contextlib.ExitStack, address: str, use: Use) -> str:
    match use:
        case Use.READ:
            return str(fetched(address))
        case Use.PATTERN:
            return fetched_pattern(address)
        case Use.PARTS:
            return str(fetched_parts(address))
        case _:
            return str(stack.enter_context(mirrored(address, lazy=use is Use.WRITE_PARTS)))


class _Shown:
    """A stream that writes addresses in the place of the paths that stand for them."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(shown(text))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def __getattr__(self, name: str):
        return getattr(self._stream, name)
