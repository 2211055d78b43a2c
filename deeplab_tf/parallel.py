"""A function over many inputs, in order: in processes of their own, or in threads.

Threads are for files, whose codecs let other threads run; processes for work in Python.
"""

import collections
import concurrent.futures
import concurrent.futures.process
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from deeplab_tf.errors import DeeplabError
from deeplab_tf.machine.system import MOST_PROCESSES, usable_cores

Task = TypeVar("Task")
Result = TypeVar("Result")

CHUNK = 8
"""Inputs that one process takes at a time: fewer, and handing them over costs more than they do."""
FEW = 64
"""Up to as many inputs are done here: processes take half a second to start."""
THREADS = 4
"""More would hold more pictures than they save time: one decodes dozens of photos a second."""


def in_processes(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    workers: int | None = None,
    chunk: int = CHUNK,
) -> Iterator[Result]:
    """`map(function, tasks)` over `workers` processes, in order; by default one a core.

    Only a few chunks of `chunk` tasks are under way at a time, so that the results of a slow reader
    do not pile up.
    `function` is a module's own and imports no TensorFlow; tasks and results are pickled.

    Raises:
        DeeplabError: a process was killed. What `function` raises passes as it is.
    """
    workers = min(workers or usable_cores(), MOST_PROCESSES)
    tasks = iter(tasks)
    few = list(itertools.islice(tasks, FEW + 1))
    tasks = itertools.chain(few, tasks)
    if workers == 1 or len(few) <= FEW:
        yield from map(function, tasks)
        return
    # Spawned, not forked: a caller may hold TensorFlow's threads.
    context = multiprocessing.get_context("spawn")
    executor = concurrent.futures.ProcessPoolExecutor(workers, context, _follow_parent)
    under_way: collections.deque[concurrent.futures.Future[list[Result]]] = collections.deque()
    try:
        while together := list(itertools.islice(tasks, chunk)):
            under_way.append(executor.submit(_map_chunk, function, together))
            if len(under_way) > 2 * workers:
                yield from under_way.popleft().result()
        while under_way:
            yield from under_way.popleft().result()
    except concurrent.futures.process.BrokenProcessPool as error:
        raise DeeplabError(
            f"one of {workers} processes was killed, perhaps for want of memory; free some and run "
            "again"
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)


def _follow_parent() -> None:
    """Leaves Ctrl-C to the parent, and ends with it however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a process of its own

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _map_chunk(function: Callable[[Task], Result], tasks: list[Task]) -> list[Result]:
    return [function(task) for task in tasks]


def in_threads(
    function: Callable[[Task], Result], tasks: Iterable[Task], threads: int | None = None
) -> Iterator[Result]:
    """`map(function, tasks)` over `threads` threads, in order; None: up to `THREADS`.

    At most one task more than that is under way before its result is taken, so that memory stays
    bounded. What `function` or `tasks` raises passes as it is.
    """
    threads = threads or min(THREADS, usable_cores())
    under_way: collections.deque[concurrent.futures.Future[Result]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        try:
            for task in tasks:
                under_way.append(pool.submit(function, task))
                if len(under_way) > threads:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()
