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

    The exit code is EX_TEMPFAIL of sysexits.h, by which a supervisor knows that.
    """

    exit_code = 75


def one_line(text: str) -> str:
    """Returns `text` on one line, with every run of spaces and line breaks as a single space."""
    return " ".join(text.split())
