"""The connection of a run's worker processes, with an error that names a worker that is missing.

Tested in tests/training/test_workers.py.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time

import tensorflow as tf
from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2
from tensorflow.python.eager import context

from deeplab_tf.distributed.processes import Workers, answers
from deeplab_tf.errors import DeeplabError, WorkerGoneError
from deeplab_tf.files import close_mirrors
from deeplab_tf.machine.signals import handling_stops

ARRIVAL_SECONDS = 300
"""How many seconds workers wait for each other before the first step."""

SILENCE_SECONDS = 20
"""How many seconds without a heartbeat make a worker lost, where its machine or network is gone."""

GOODBYE_SECONDS = 3
"""How many seconds a worker that ends waits for the others to end too."""

LOST = (
    tf.errors.UnavailableError,
    tf.errors.DeadlineExceededError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
)
"""The errors that an operation over all workers raises when one of them is gone."""

CONNECTED = threading.Event()
"""The event that is set when this process is connected to the other workers."""


def connect(workers: Workers) -> tf.distribute.Strategy:
    """Waits for all `workers` and returns the strategy over them.

    The call must come before any other use of TensorFlow.

    Raises:
        WorkerGoneError: a worker has not come in `ARRIVAL_SECONDS`.
        DeeplabError: this worker's port is taken.
    """
    leader = "chief" if "chief" in workers.cluster else "worker"
    runtime = context.context()
    runtime.configure_coordination_service(
        "standalone",
        service_leader=f"/job:{leader}/replica:0/task:0",
        cluster_register_timeout_in_ms=ARRIVAL_SECONDS * 1000,
        heartbeat_timeout_in_ms=SILENCE_SECONDS * 1000,
        shutdown_barrier_timeout_in_ms=GOODBYE_SECONDS * 1000,
        coordinated_jobs=[
            coordination_config_pb2.CoordinatedJob(name=job, num_tasks=len(addresses))
            for job, addresses in workers.cluster.items()
        ],
    )
    # Without the barrier TensorFlow waits for a missing worker for ever, and only SIGKILL ends the
    # process.
    runtime.coordination_service.cluster_register_with_barrier = True
    _check_port(workers)
    try:
        # Python does not run its own handler while TensorFlow waits for the other workers, and
        # TensorFlow leaves one behind that only records SIGTERM: the process ends at once instead.
        with handling_stops(signal.SIG_DFL):
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except LOST as error:
        absent = [
            f"{number} ({address})"
            for number, address in enumerate(workers.addresses)
            if number != workers.index and not answers(address)
        ]
        who = (
            f"worker {', '.join(absent)} does not answer" if absent else "not all workers have come"
        )
        raise WorkerGoneError(
            f"worker {workers.index} waited {ARRIVAL_SECONDS} s for the {workers.count} workers of "
            f"TF_CONFIG: {who}. Start all workers with the same command"
        ) from error
    CONNECTED.set()
    return strategy


def leave(workers: Workers, code: int) -> None:
    """Ends this process with exit code `code` where there are other workers.

    TensorFlow's own exit waits seconds for the other workers, and a SIGTERM leaves few seconds.
    All workers must call this, after the same gatherings.
    """
    if workers.count == 1:
        return
    code = close_mirrors() or code
    last = time.monotonic() + GOODBYE_SECONDS
    # A worker has its part of a gathering before the others have received what it sent them: they
    # would find it gone. At the barrier each worker has received everything.
    with contextlib.suppress(*LOST):
        context.context().wait_at_barrier("leave", GOODBYE_SECONDS * 1000)
    # Worker 0 runs the service that all workers are connected to, so it ends last.
    while workers.is_chief and time.monotonic() < last:
        if not any(map(answers, workers.addresses[1:])):
            break
        time.sleep(0.05)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _check_port(workers: Workers) -> None:
    """Raises `DeeplabError` where this worker cannot listen; TensorFlow would end with a trace."""
    address = workers.addresses[workers.index]
    port = int(address.rsplit(":", 1)[1])
    try:
        with socket.socket(socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", port))
    except OSError as error:
        raise DeeplabError(
            f"worker {workers.index} cannot listen on port {port} of TF_CONFIG's {address}: "
            f"{error.strerror}. Check whether worker {workers.index} runs already"
        ) from error
