"""uvicorn's HTTP protocol with a time limit on each wait, for clients that are slow on purpose.

Tested in tests/serving/test_slow_clients.py, through `server._settings`.
"""

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.h11_impl import H11Protocol


def timed_protocol(seconds: float) -> type[H11Protocol]:
    """Returns a protocol class that gives clients `seconds` for each of the two waits."""

    class Timed(_TimedProtocol):
        limit = seconds

    return Timed


class _TimedProtocol(H11Protocol):
    """A protocol that closes a connection whose client takes longer than `limit` seconds:

    - to send a request's head, counted from the connection or from the head's first byte;
    - to take an answer, counted from the first byte that the system's buffer had no room for.

    uvicorn itself waits for both without limit.
    """

    limit: float
    _head: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport):
        """Starts the time limit for the first head."""
        # A limit of 0 pauses writing while any byte waits, so "not paused" means all is taken.
        transport.set_write_buffer_limits(0)
        super().connection_made(transport)
        self._watch_head()

    def data_received(self, data):
        """Starts or stops the head's time limit, since the head may begin or end in the data."""
        super().data_received(data)
        self._watch_head()

    def pause_writing(self):
        """Starts the answer's time limit, since a byte waits for the client."""
        super().pause_writing()
        self._unread = self._unread or self._later(self._abort)

    def resume_writing(self):
        """Stops the answer's time limit where no byte waits and the answer has no more to come."""
        super().resume_writing()
        self._watch_answer()

    def on_response_complete(self):
        """Stops the answer's time limit where the client has also taken all that is written."""
        super().on_response_complete()
        self._watch_answer()

    def connection_lost(self, exc):
        """Stops both time limits, so that no timer outlives the connection."""
        super().connection_lost(exc)
        self._head, self._unread = _cancelled(self._head), _cancelled(self._unread)

    def _watch_head(self) -> None:
        if self._answering():
            self._head = _cancelled(self._head)
        else:
            # A running timer is kept, so that a byte now and then does not extend the limit.
            self._head = self._head or self._later(self._close_without_head)

    def _watch_answer(self) -> None:
        if not self._answering() and not self.flow.write_paused:
            self._unread = _cancelled(self._unread)

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _close_without_head(self) -> None:
        self._head = None
        if not self._answering():
            self.transport.close()

    def _abort(self) -> None:
        self.transport.abort()

    def _later(self, action: Callable[[], None]) -> asyncio.TimerHandle:
        return self.loop.call_later(self.limit, action)


def _cancelled(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
