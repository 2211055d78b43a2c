"""The one exception that a user is meant to read."""


class DeeplabError(Exception):
    """Bad input: says what was received, what must hold and what to do, in one line.

    Every binary prints its message alone, without a traceback, and ends with exit code 1.
    """


def one_line(text: str) -> str:
    """`text` with its line breaks folded into single spaces, for a message of one line."""
    return " ".join(text.split())
