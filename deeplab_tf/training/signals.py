"""SIGTERM and SIGINT, noted while a training runs."""

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def caught_signals() -> Iterator[list[int]]:
    """A list that gets the number of the first SIGTERM or SIGINT; a second one acts as usual."""
    received: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGINT)
    usual = {number: signal.getsignal(number) for number in numbers}

    def note(number, _frame):
        received.append(number)
        signal.signal(number, usual[number])

    try:
        for number in numbers:
            signal.signal(number, note)
        yield received
    finally:
        for number in numbers:
            signal.signal(number, usual[number])
