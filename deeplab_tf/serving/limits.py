"""Limits on the size, number and time of requests, which keep the server standing.

Tested in tests/serving/test_serving_limits.py and tests/serving/test_slow_clients.py.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar

from starlette.requests import Request

from deeplab_tf.serving.refusal import Reason, RefusedError

_DISCARDED_BYTES = 64 << 20
"""The number of bytes of a refused body that are still received: a client that is cut off while it
sends reports a broken connection instead of reading the answer."""
MAX_ANSWER_BYTES = (1 << 31) - (1 << 20)
"""The largest size of one answer, by both protocols: a gRPC message has less than 2 GiB, names and
shapes included."""
_SPARE_SECONDS = 5.0
"""Seconds that a request may take beyond its time limits, for JSON."""

_Answer = TypeVar("_Answer")


@dataclasses.dataclass(frozen=True)
class Limits:
    """The limits of a server.

    Attributes:
        max_request_bytes: the largest size of one request's body or message.
        max_images: the largest number of images of one request.
        max_pixels: the largest number of pixels of all images of one request together, read from
            the images' headers; each side counts as rounded up to the network's coarsest stride.
        queue_size: the largest number of requests inside at a time: being received, waiting, in the
            network or, by REST, with their answer on its way out.
        time_limit: seconds for receiving a request, as many for answering it, and as many for the
            client to take the answer.
        batch_size: the largest number of images that go through the network together.
    """

    max_request_bytes: int = 32 << 20
    max_images: int = 1024
    max_pixels: int = 1 << 24
    queue_size: int = 64
    time_limit: float = 30.0
    batch_size: int = 8

    @property
    def longest_stay(self) -> float:
        """The number of seconds after which even the slowest request has ended."""
        return 3 * self.time_limit + _SPARE_SECONDS


class Gate:
    """A counter of the requests inside, which lets in `limit` at a time."""

    def __init__(self, limit: int):
        self.limit = limit
        self.inside = 0

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Counts one request as inside for the block.

        Raises:
            RefusedError: the server is full.
        """
        if self.inside >= self.limit:
            raise RefusedError(
                Reason.BUSY,
                f"{self.inside} requests are waiting, and the server takes no more; try again "
                "later",
            )
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1


@contextlib.asynccontextmanager
async def within(seconds: float, reason: Reason, message: str):
    """Raises `RefusedError` with `reason` where the block takes longer than `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise RefusedError(reason, message) from None


class Body:
    """The body of a request, of which no more than the limit is kept."""

    def __init__(self, request: Request, limits: Limits):
        self._announced = int(request.headers.get("content-length", 0))
        self._receive = request.receive
        self._limits = limits
        self._ended = False

    async def read(self) -> bytes:
        """Returns the whole body.

        Raises:
            RefusedError: the body is too large or comes too slowly, or the client is gone.
        """
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
        """Receives the rest of the body, up to a bound, and discards it."""
        received = 0
        with contextlib.suppress(TimeoutError, RefusedError):
            async with asyncio.timeout(self._limits.time_limit):
                async for chunk in self._received():
                    received += len(chunk)
                    if received > _DISCARDED_BYTES:
                        return

    async def unless_gone(self, answering: Coroutine[Any, Any, _Answer]) -> _Answer:
        """Returns what `answering` returns; a client that goes away ends `answering`.

        The body must have been read to its end before.

        Raises:
            RefusedError: the client is gone; what `answering` still waited for is given up.
        """
        answer = asyncio.create_task(answering)
        gone = asyncio.create_task(self._gone())
        try:
            await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise _client_gone()
            return answer.result()
        finally:
            answer.cancel()
            gone.cancel()

    async def _gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    @property
    def ended(self) -> bool:
        """Returns whether the whole body was received; without that the connection is of no use."""
        return self._ended

    async def _received(self) -> AsyncIterator[bytes]:
        # Receiving again after the body's end would wait until the client goes.
        while not self._ended:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise _client_gone()
            self._ended = not message.get("more_body", False)
            yield message.get("body", b"")


def check_answer_size(size: int) -> None:
    """Raises `RefusedError` for an answer of more than `MAX_ANSWER_BYTES`."""
    if size > MAX_ANSWER_BYTES:
        raise RefusedError(
            Reason.BAD_REQUEST,
            f"the answer is larger than {MAX_ANSWER_BYTES:,} bytes; send smaller images, or fewer "
            "at once, or ask for serving_default, which gives labels",
        )


def _client_gone() -> RefusedError:
    return RefusedError(Reason.CLIENT_GONE, "the client went away")


def _too_large(limit: int) -> RefusedError:
    return RefusedError(
        Reason.TOO_LARGE, f"the request is larger than {limit:,} bytes (--max_request_mb)"
    )
