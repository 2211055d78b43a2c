"""The figures of the server that Prometheus reads at /metrics.

Tested in tests/serving/test_rest.py and tests/serving/test_grpc_service.py, through `Service`.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from deeplab_tf.serving.models import Models, Visit
from deeplab_tf.serving.refusal import Reason, RefusedError
from deeplab_tf.serving.served_model import ServedModel

REST, GRPC = "rest", "grpc"
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_BATCH_IMAGES = (1, 2, 3, 4, 6, 8, 12, 16, 32, 64)


class Metrics:
    """The figures of one server, in a registry of its own.

    No label has a value that a client chooses, so the number of series is bounded by that of the
    versions that were served.

    Args:
        inside: gives the number of requests inside.
        models: the models, whose versions' states and requests are told.
    """

    def __init__(self, inside: Callable[[], int], models: Models):
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
        self.version_requests = Counter(
            "deeplab_version_requests",
            "Counts the requests that were bound to a version, by protocol and status.",
            ["model", "version", "protocol", "code"],
            registry=self.registry,
        )
        self.version_seconds = Histogram(
            "deeplab_version_seconds",
            "Measures the seconds of requests that were bound to a version.",
            ["model", "version"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.version_batch_images = Histogram(
            "deeplab_version_batch_images",
            "Counts the images that went through a version's network together.",
            ["model", "version"],
            buckets=_BATCH_IMAGES,
            registry=self.registry,
        )
        self.hand_overs = Counter(
            "deeplab_hand_overs",
            "Counts the versions that began to answer after the server's start.",
            ["model"],
            registry=self.registry,
        )
        self.registry.register(_Versions(models))
        gauge = Gauge(
            "deeplab_requests_inside",
            "Counts the requests that have no answer yet.",
            registry=self.registry,
        )
        gauge.set_function(inside)
        prometheus_client.ProcessCollector(registry=self.registry)

    @contextlib.contextmanager
    def request(self, protocol: str) -> Iterator[Visit]:
        """Counts and times one request, by the exception with which the block ends.

        The block gets the request, which it binds to a version.
        """
        begun = time.perf_counter()
        reason, visit = None, Visit()
        try:
            yield visit
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
            code, seconds = _code(protocol, reason), time.perf_counter() - begun
            self.requests.labels(protocol, code).inc()
            self.seconds.labels(protocol).observe(seconds)
            if visit.bound:
                self.version_requests.labels(*visit.bound, protocol, code).inc()
                self.version_seconds.labels(*visit.bound).observe(seconds)
            visit.end()

    def batch(self, model: ServedModel, images: int) -> None:
        """Counts one run of a model's network for so many images."""
        self.batch_images.observe(images)
        self.version_batch_images.labels(model.name, model.version).observe(images)

    def page(self) -> bytes:
        """Returns all figures in Prometheus' text form."""
        return prometheus_client.generate_latest(self.registry)


class _Versions(Collector):
    """The states of all versions, and the requests inside of those that are in memory."""

    def __init__(self, models: Models):
        self._models = models

    def collect(self) -> Iterator[Metric]:
        """Yields `deeplab_version_state` and `deeplab_version_requests_inside`."""
        state = GaugeMetricFamily(
            "deeplab_version_state",
            "Is 1 for the state that a version is in, as TensorFlow Serving names it.",
            labels=["model", "version", "state"],
        )
        inside = GaugeMetricFamily(
            "deeplab_version_requests_inside",
            "Counts the requests bound to a version in memory that have no answer yet.",
            labels=["model", "version"],
        )
        for name, versions in self._models.items():
            for number, told in versions.states.items():
                state.add_metric([name, str(number), told.state.value], 1)
            for number, version in {**versions.available, **versions.unloading}.items():
                inside.add_metric([name, str(number)], version.inside)
        yield state
        yield inside


def _code(protocol: str, reason: Reason | None) -> str:
    if protocol == REST:
        return str(reason.http if reason else 200)
    return reason.grpc if reason else "OK"
