"""The figures of the server that Prometheus reads at /metrics.

Tested in tests/serving/test_rest.py and tests/serving/test_grpc_service.py, through `Service`.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from deeplab_tf.serving.refusal import Reason, RefusedError

REST, GRPC = "rest", "grpc"
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_BATCH_IMAGES = (1, 2, 3, 4, 6, 8, 12, 16, 32, 64)


class Metrics:
    """The figures of one server, in a registry of its own.

    No label has a value that a client chooses, so the number of series is bounded.
    """

    def __init__(self, inside: Callable[[], int]):
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "deeplab_requests",
            "Counts the requests for predictions by protocol and status.",
            ["protocol", "code"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "deeplab_request_seconds",
            "Measures the seconds from a request's head to its answer.",
            ["protocol"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batch_images = Histogram(
            "deeplab_batch_images",
            "Counts the images that went through the network together.",
            buckets=_BATCH_IMAGES,
            registry=self.registry,
        )
        gauge = Gauge(
            "deeplab_requests_inside",
            "Counts the requests that have no answer yet.",
            registry=self.registry,
        )
        gauge.set_function(inside)
        prometheus_client.ProcessCollector(registry=self.registry)

    @contextlib.contextmanager
    def request(self, protocol: str) -> Iterator[None]:
        """Counts and times one request, by the exception with which the block ends."""
        begun = time.perf_counter()
        reason = None
        try:
            yield
        except RefusedError as refusal:
            reason = refusal.reason
            raise
        except asyncio.CancelledError:
            reason = Reason.CLIENT_GONE
            raise
        except Exception:
            reason = Reason.BROKEN
            raise
        finally:
            self.requests.labels(protocol, _code(protocol, reason)).inc()
            self.seconds.labels(protocol).observe(time.perf_counter() - begun)

    def page(self) -> bytes:
        """Returns all figures in Prometheus' text form."""
        return prometheus_client.generate_latest(self.registry)


def _code(protocol: str, reason: Reason | None) -> str:
    if protocol == REST:
        return str(reason.http if reason else 200)
    return reason.grpc if reason else "OK"
