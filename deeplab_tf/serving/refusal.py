"""The reasons for which a request is not answered, in the terms of both protocols.

Tested in tests/serving/test_rest.py and tests/serving/test_grpc_service.py, through `Service`.
"""

import enum


class Reason(enum.Enum):
    """A reason as an HTTP status and the name of the gRPC status that means the same."""

    BAD_REQUEST = (400, "INVALID_ARGUMENT")
    NOT_FOUND = (404, "NOT_FOUND")
    SLOW_CLIENT = (408, "DEADLINE_EXCEEDED")
    TOO_LARGE = (413, "RESOURCE_EXHAUSTED")
    CLIENT_GONE = (499, "CANCELLED")
    BROKEN = (500, "INTERNAL")
    BUSY = (503, "UNAVAILABLE")
    LATE = (504, "DEADLINE_EXCEEDED")

    def __init__(self, http: int, grpc: str):
        self.http = http
        self.grpc = grpc


MAX_MESSAGE = 500
"""The largest length of a message in characters; a message may quote what the client sent, and gRPC
sends no message beyond some kilobytes."""


class RefusedError(Exception):
    """The error for a request that is not answered; its message, one line, goes to the client."""

    def __init__(self, reason: Reason, message: str):
        cut = message if len(message) <= MAX_MESSAGE else message[:MAX_MESSAGE] + "..."
        super().__init__(cut)
        self.reason = reason


def bad_request(message: str) -> RefusedError:
    """Returns the error for a request that is wrong, and would be wrong again if repeated."""
    return RefusedError(Reason.BAD_REQUEST, message)


def out_of_memory() -> RefusedError:
    """Returns the error for a request that the server's memory does not hold just now."""
    return RefusedError(
        Reason.BUSY, "the server is out of memory; send smaller or fewer images in one request"
    )
