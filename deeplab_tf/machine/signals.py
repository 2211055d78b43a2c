"""SIGTERM and SIGINT, handled in another way for the length of a block.

Tested in tests/paper/test_run_rows.py and tests/training/test_loop.py, through `run_jobs` and
`train`.
"""

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None
STOPS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def handling_stops(handler: Handler) -> Iterator[dict[int, Handler]]:
    """Handles SIGTERM and SIGINT by `handler` in the block, and as before it after the block.

    Yields:
        The handler that each signal had before, by the signal's number.
    """
    usual: dict[int, Handler] = {number: signal.getsignal(number) for number in STOPS}
    try:
        for number in STOPS:
            signal.signal(number, handler)
        yield usual
    finally:
        for number, before in usual.items():
            signal.signal(number, before)


@contextlib.contextmanager
def caught_stops() -> Iterator[list[int]]:
    """Yields a list that gets the number of the first SIGTERM and of the first SIGINT.

    A second signal of the same number acts as usual.
    """
    received: list[int] = []
    usual: dict[int, Handler] = {}

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, usual[number])

    with handling_stops(note) as before:
        usual |= before
        yield received
