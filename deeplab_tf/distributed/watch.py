"""Watches whether the other workers still run, and ends this process with one line if not."""

import contextlib
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator

from deeplab_tf.distributed.connection import CONNECTED, LOST
from deeplab_tf.distributed.processes import GOODBYE_SECONDS, Workers, answers
from deeplab_tf.errors import DeeplabError

PROBE_SECONDS = 1.0
"""How often it is seen whether the others still listen: one that was killed does not."""


@contextlib.contextmanager
def naming_lost_worker(workers: Workers, go_on: Callable[[], str]) -> Iterator[None]:
    """Ends this process with one line, which `go_on` ends, where another worker is gone.

    Raises:
        DeeplabError: instead of the error of TensorFlow's operation over all workers. Where that
            operation does not end, the process does, with exit code 1.
    """
    if workers.count == 1:
        yield
        return

    def line() -> str:
        absent = [
            str(number)
            for number, address in enumerate(workers.addresses)
            if number != workers.index and not answers(address)
        ]
        who = f"worker {' and '.join(absent)}" if absent else "another worker"
        return (
            f"{who} is gone, and worker {workers.index} ends too; if it was not killed, its own "
            f"last line says why. Start all workers with the same command{go_on()}"
        )

    done = threading.Event()
    threading.Thread(target=_watch, args=(workers, done, line), daemon=True).start()
    try:
        yield
    except LOST as error:
        # What they hold of TensorFlow's would otherwise end with a note at the interpreter's end.
        traceback.clear_frames(error.__traceback__)
        raise DeeplabError(line()) from error
    finally:
        done.set()


def _watch(workers: Workers, done: threading.Event, line: Callable[[], str]) -> None:
    """Sees whether the others still listen: worker 0 looks at all, and they look at worker 0.

    TensorFlow's operations may go on waiting for a minute for one that was killed.
    """
    CONNECTED.wait()
    watched = workers.addresses[1:] if workers.is_chief else workers.addresses[:1]
    missed = 0
    while missed < 2:
        if done.wait(PROBE_SECONDS):
            return
        missed = 0 if all(map(answers, watched)) else missed + 1
    if not done.wait(GOODBYE_SECONDS):
        print(f"error: {line()}", file=sys.stderr, flush=True)
        os._exit(1)
