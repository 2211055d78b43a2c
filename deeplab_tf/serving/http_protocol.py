"""uvicorn's HTTP protocol for clients that are slow on purpose: each wait for them has an end."""

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.h11_impl import H11Protocol


def timed_protocol(seconds: float) -> type[H11Protocol]:
    """A protocol class whose clients have `seconds` for each of the two waits."""

    class Timed(_TimedProtocol):
        limit = seconds

    return Timed


class _TimedProtocol(H11Protocol):
    """Closes a connection whose client takes longer than `limit` seconds

    - to send a request's head, counted from the connection or from the head's first byte;
    - to take an answer, counted from the first byte that the system's buffer had no room for.

    uvicorn itself waits for both without an end.
    """

    limit: float
    _head: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport):
        """Counts from here."""
        # Writing then is paused while any byte waits, and so "not paused" means taken.
        transport.set_write_buffer_limits(0)
        super().connection_made(transport)
        self._watch_head()

    def data_received(self, data):
        """May be the head's first byte, or its last."""
        super().data_received(data)
        self._watch_head()

    def pause_writing(self):
        """A byte waits for the client."""
        super().pause_writing()
        self._unread = self._unread or self._later(self._abort)

    def resume_writing(self):
        """None waits; of a long answer there may be more."""
        super().resume_writing()
        self._watch_answer()

    def on_response_complete(self):
        """All is written, though perhaps not taken."""
        super().on_response_complete()
        self._watch_answer()

    def connection_lost(self, exc):
        """No timer outlives it."""
        super().connection_lost(exc)
        self._head, self._unread = _cancelled(self._head), _cancelled(self._unread)

    def _watch_head(self) -> None:
        if self._answering():
            self._head = _cancelled(self._head)
        else:
            # Not begun anew by each byte.
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
