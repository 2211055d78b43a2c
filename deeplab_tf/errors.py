"""The exception for bad input, whose message is meant for the user.

Tested in tests/test_config.py.
"""


class DeeplabError(Exception):
    """Bad input: the message says in one line what was received, what must hold and what to do.

    Every command prints only the message, without a traceback, and ends with `exit_code`.
    """

    exit_code = 1


class WorkerGoneError(DeeplabError):
    """Another worker is gone or does not come: all are to be started again with the same command.

    The exit code, EX_TEMPFAIL of sysexits.h, tells a supervisor to start the command again.
    """

    exit_code = 75


class StoreLostError(DeeplabError):
    """The connection to a store is lost: the same command goes on when the store answers."""

    exit_code = WorkerGoneError.exit_code


def one_line(text: str) -> str:
    """Returns `text` on one line, with every run of spaces and line breaks as a single space."""
    return " ".join(text.split())
