"""What keeps the server standing: the size, number and time of requests are bounded."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterator

from starlette.requests import Request

from deeplab_tf.serving.refusal import Reason, RefusedError

_DISCARDED_BYTES = 64 << 20
"""So much of a refused body is still received: a client that is cut off while it sends reports a
broken connection instead of reading the answer."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """The limits of a server.

    Attributes:
        max_request_bytes: of one request's body or message.
        max_pixels: of all images of one request together, told from their headers.
        queue_size: requests inside at a time: being received, waiting, or in the network; an answer
            on its way out does not count.
        time_limit: seconds for receiving a request, and as many for answering it.
        batch_size: images that go through the network together.
    """

    max_request_bytes: int = 32 << 20
    max_pixels: int = 1 << 23
    queue_size: int = 64
    time_limit: float = 30.0
    batch_size: int = 8


class Gate:
    """Counts the requests inside and lets `limit` in."""

    def __init__(self, limit: int):
        self.limit = limit
        self.inside = 0

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """One request's stay; raises `RefusedError` where the server is full."""
        if self.inside >= self.limit:
            raise RefusedError(
                Reason.BUSY, f"{self.inside} requests are waiting, the most; try again later"
            )
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1


@contextlib.asynccontextmanager
async def within(seconds: float, reason: Reason, message: str):
    """Raises `RefusedError` of `reason` where the block takes longer than `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise RefusedError(reason, message) from None


class Body:
    """The body of a request, of which no more is kept than the limit."""

    def __init__(self, request: Request, limits: Limits):
        self._announced = int(request.headers.get("content-length", 0))
        self._receive = request.receive
        self._limits = limits
        self._ended = False

    async def read(self) -> bytes:
        """The whole body; raises `RefusedError` for one that is too large or comes too slowly."""
        limit, seconds = self._limits.max_request_bytes, self._limits.time_limit
        if self._announced > limit:
            raise _too_large(limit)
        body = bytearray()
        message = f"the request did not arrive within {seconds:g} s"
        async with within(seconds, Reason.SLOW_CLIENT, message):
            async for chunk in self._received():
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit)
        return bytes(body)

    async def discard(self) -> None:
        """Receives what has not been read, up to a bound, and forgets it."""
        received = 0
        with contextlib.suppress(TimeoutError, RefusedError):
            async with asyncio.timeout(self._limits.time_limit):
                async for chunk in self._received():
                    received += len(chunk)
                    if received > _DISCARDED_BYTES:
                        return

    @property
    def ended(self) -> bool:
        """Whether all of it was received; else the connection is of no further use."""
        return self._ended

    async def _received(self) -> AsyncIterator[bytes]:
        # Asking again after the end would wait for the client to go.
        while not self._ended:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise RefusedError(Reason.CLIENT_GONE, "the client went away")
            self._ended = not message.get("more_body", False)
            yield message.get("body", b"")


def _too_large(limit: int) -> RefusedError:
    return RefusedError(
        Reason.TOO_LARGE, f"the request is larger than {limit:,} bytes (--max_request_mb)"
    )
