"""A context that notes SIGTERM and SIGINT while a training runs."""

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def caught_signals() -> Iterator[list[int]]:
    """Yields a list that gets the number of the first SIGTERM and of the first SIGINT.

    A second signal of the same number acts as usual.
    """
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
