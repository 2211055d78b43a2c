"""The exception for bad input, whose message is meant for the user.

Tested in tests/test_config.py.
"""


class DeeplabError(Exception):
    """Bad input: the message says in one line what was received, what must hold and what to do.

    Every command prints only the message, without a traceback, and ends with exit code 1.
    """


def one_line(text: str) -> str:
    """Returns `text` on one line, with every run of spaces and line breaks as a single space."""
    return " ".join(text.split())
