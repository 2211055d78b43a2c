"""The watch over the other workers, which ends this process with one line when one is gone.

Tested in tests/distributed/test_watch.py, and in tests/training/test_workers.py, through
`train.run`.
"""

import contextlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator

import tensorflow as tf

from deeplab_tf.distributed.connection import CONNECTED, GOODBYE_SECONDS, LOST, SILENCE_SECONDS
from deeplab_tf.distributed.processes import Reach, Workers, answers, reach
from deeplab_tf.errors import WorkerGoneError

PROBE_SECONDS = 1.0
"""Seconds between two probes of whether the other workers listen; a killed worker does not."""


@contextlib.contextmanager
def naming_lost_worker(workers: Workers, go_on: Callable[[], str]) -> Iterator[None]:
    """Ends this process with one line where another worker is gone; `go_on()` is the line's end.

    Raises:
        WorkerGoneError: another worker is gone; this error replaces that of TensorFlow's operation
            over all workers. Where that operation does not end, the process ends with the error's
            exit code.
    """
    if workers.count == 1:
        yield
        return

    def missing() -> list[str]:
        return [
            str(number)
            for number, address in enumerate(workers.addresses)
            if number != workers.index and not answers(address)
        ]

    def line() -> str:
        absent = missing()
        who = f"worker {' and '.join(absent)}" if absent else "another worker"
        return (
            f"{who} is gone, and worker {workers.index} ends too; if it was not killed, its own "
            f"last line says why. Start all workers with the same command{go_on()}"
        )

    done = threading.Event()
    threading.Thread(target=_watch, args=(workers, done, line), daemon=True).start()
    try:
        yield
    except tf.errors.OpError as error:
        # A killed worker is at times an error of another kind, as an internal one.
        if not isinstance(error, LOST) and not missing():
            raise
        # The frames hold objects of TensorFlow that would print a note at the interpreter's end.
        traceback.clear_frames(error.__traceback__)
        raise WorkerGoneError(line()) from error
    finally:
        done.set()


def _watch(workers: Workers, done: threading.Event, line: Callable[[], str]) -> None:
    """Probes whether the others still listen: worker 0 probes all, and all others probe worker 0.

    TensorFlow's operations may go on waiting for a killed worker for a minute. Where one is gone,
    this process has `GOODBYE_SECONDS` to end by itself, and is ended then. A worker is gone after
    two refused probes, or after `SILENCE_SECONDS` without a probe that was answered.
    """
    CONNECTED.wait()
    watched = workers.addresses[1:] if workers.is_chief else workers.addresses[:1]
    refused, heard = 0, time.monotonic()
    while refused < 2 and time.monotonic() - heard < SILENCE_SECONDS:
        if done.wait(PROBE_SECONDS):
            return
        met = set(map(reach, watched))
        refused = refused + 1 if Reach.REFUSED in met else 0
        if met == {Reach.LISTENS}:
            heard = time.monotonic()
    if not done.wait(GOODBYE_SECONDS):
        print(f"error: {line()}", file=sys.stderr, flush=True)
        os._exit(WorkerGoneError.exit_code)
