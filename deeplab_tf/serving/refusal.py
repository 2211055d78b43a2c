"""Why a request is not answered, as both protocols say it."""

import enum


class Reason(enum.Enum):
    """An HTTP status and the name of the gRPC status that means the same."""

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


class RefusedError(Exception):
    """A request that is not answered; its message, one line, is what the client reads."""

    def __init__(self, reason: Reason, message: str):
        super().__init__(message)
        self.reason = reason


def bad_request(message: str) -> RefusedError:
    """The request is wrong and will be wrong again."""
    return RefusedError(Reason.BAD_REQUEST, message)
