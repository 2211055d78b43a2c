"""A cluster of Dask: its tasks and results, and one line where scheduler or workers are gone.

Tested in tests/distributed/test_dask_runner.py, through `DaskRunner`.
"""

import concurrent.futures
import contextlib
import logging
import time
import uuid
from asyncio import CancelledError
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import distributed

from deeplab_tf.errors import DeeplabError, one_line

CONNECT_SECONDS = 20
"""The seconds that a scheduler has to answer."""
WORKERS_SECONDS = 60
"""The seconds that a cluster may be without any worker, at the start or later.

A worker that was killed is started again in a few seconds by `dask worker`'s watching process.
"""
POLL_SECONDS = 1
AGAIN = 4
"""How often the parts that Dask gives up are submitted anew.

Dask counts the workers that were lost with a part, whether the part was in work or waited there.
"""
_LOST = (OSError, CancelledError, concurrent.futures.CancelledError)


class Cluster:
    """The workers of a scheduler.

    Attributes:
        workers: the number of workers at the start.
        threads: the number of tasks that they do at a time.
    """

    def __init__(self, client: distributed.Client, address: str):
        self._client = client
        self._address = address
        self._seen = time.monotonic()
        threads = self._threads()
        self.workers = len(threads)
        self.threads = sum(threads.values())

    def submit(
        self, name: str, function: Callable[..., Any], *arguments: Any, worker: str | None = None
    ) -> Any:
        """Returns the future result of `function`; a future among `arguments` is its result.

        The worker at the address `worker` is the first that is asked to do it.
        """
        key = f"{name}-{uuid.uuid4().hex}"
        first = {"workers": [worker], "allow_other_workers": True} if worker else {}
        return self._client.submit(function, *arguments, key=key, pure=False, **first)

    def submit_parts(
        self, name: str, function: Callable[..., Any], given: Any, parts: Sequence[Any]
    ) -> list[Any]:
        """Returns the future results of `function(given, number, part)`, dealt out in turn.

        Dask by itself would give all parts to the worker that has their data, and others would get
        some only after the first was done: after the import of TensorFlow and a model's loading.
        """
        workers = sorted(self._threads())
        return [
            self.submit(
                *(name, function, given, number, part),
                worker=workers[number % len(workers)] if workers else None,
            )
            for number, part in enumerate(parts)
        ]

    def results(
        self, futures: Sequence[Any], again: Callable[[int], Any] | None = None
    ) -> list[Any]:
        """Waits for all results and returns them.

        Args:
            futures: the future results.
            again: submits what future `number` is of anew, up to `AGAIN` times, where Dask gave it
                up since one worker after the other was lost with it; None leaves it at that.

        Raises:
            DeeplabError: all workers are gone, workers were lost with one task again and again, or
                the scheduler is gone. Another error that a task raised passes.
        """
        futures = list(futures)
        try:
            for left in reversed(range(AGAIN + 1 if again else 1)):
                while not self._are_done(futures):
                    self._check_workers()
                given_up = _given_up(futures)
                if not (left and again and given_up):
                    break
                for number in given_up:
                    futures[number] = again(number)
            gathered: Any = self._client.gather(futures)
            return gathered
        except distributed.KilledWorker as error:
            raise DeeplabError(
                f"workers of {self._address} were lost again and again with one part of the work, "
                "perhaps for want of memory; give them more and run the same command again"
            ) from error
        except ImportError as error:
            raise DeeplabError(
                f"a worker of {self._address} cannot import {error.name}; install there what is "
                "installed here"
            ) from error
        except _LOST as error:
            if isinstance(error, OSError) and self._answers():
                raise  # the error of a task, as a full disk
            raise DeeplabError(
                f"the scheduler {self._address} is gone; start it and its workers, and run the "
                "same command again"
            ) from error

    def _threads(self) -> dict[str, int]:
        """Returns the number of threads of each worker by its address."""
        threads: Any = self._client.nthreads()
        return threads

    def _are_done(self, futures: Sequence[Any]) -> bool:
        """Returns whether all futures have a result, or one has an error, after some waiting."""
        with contextlib.suppress(TimeoutError):
            distributed.wait(futures, timeout=POLL_SECONDS)
            return True
        return any(future.status not in ("pending", "finished") for future in futures)

    def _check_workers(self) -> None:
        if self._threads():
            self._seen = time.monotonic()
        elif time.monotonic() - self._seen > WORKERS_SECONDS:
            raise DeeplabError(
                f"all workers of {self._address} have been gone for {WORKERS_SECONDS:g} s; start "
                "some and run the same command again"
            )

    def _answers(self) -> bool:
        with contextlib.suppress(*_LOST):
            self._threads()
            return True
        return False


def _given_up(futures: Sequence[Any]) -> list[int]:
    """Returns the numbers of the futures whose workers were lost more often than Dask allows."""
    return [
        number
        for number, future in enumerate(futures)
        if future.status == "error" and isinstance(future.exception(), distributed.KilledWorker)
    ]


@contextlib.contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """Connects to the scheduler at `address`, as `tcp://host:8786`, and leaves it at the end.

    Raises:
        DeeplabError: nothing answers there within `CONNECT_SECONDS`, or there is no worker within
            `WORKERS_SECONDS`.
    """
    # The errors that end a job are raised; the client would print them, with tracebacks, too.
    for name in ("distributed", "distributed.client", "distributed.core"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, TypeError) as error:  # TypeError: tls:// without certificates
        raise DeeplabError(
            f"no scheduler of Dask answers at {address} within {CONNECT_SECONDS} s: "
            f"{one_line(str(error))[:200]}; start one by `dask scheduler`"
        ) from error
    with contextlib.closing(client), client.as_current():
        try:
            client.wait_for_workers(1, timeout=WORKERS_SECONDS)
        except TimeoutError as error:
            raise DeeplabError(
                f"the scheduler {address} has no worker within {WORKERS_SECONDS} s; start some by "
                f"`dask worker {address} --nthreads=1`"
            ) from error
        yield Cluster(client, address)
