"""A function applied to many inputs, in their order, by several processes or several threads.

Threads suit work on image files, whose codecs let other threads run; processes suit work in Python.
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
"""How many inputs a process takes at a time; handing over fewer costs more than their work."""
FEW = 64
"""The most inputs that the calling process does itself: others take half a second to start."""
THREADS = 4
"""The most threads by default: one thread decodes dozens of photos a second, and more threads would
hold more pictures in memory than they save time."""


def in_processes(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    workers: int | None = None,
    chunk: int = CHUNK,
) -> Iterator[Result]:
    """Yields `map(function, tasks)`, in order, by `workers` processes; the default is one a core.

    At most `2 * workers + 1` chunks of `chunk` tasks are under way at a time, so that results do
    not pile up where the caller reads slowly. The calling process itself does up to `FEW` tasks.
    `function` is defined at the top level of a module that imports no TensorFlow; tasks and results
    are pickled.

    Raises:
        DeeplabError: a process was killed. An error that `function` raises passes unchanged.
    """
    workers = min(workers or usable_cores(), MOST_PROCESSES)
    tasks = iter(tasks)
    few = list(itertools.islice(tasks, FEW + 1))
    tasks = itertools.chain(few, tasks)
    if workers == 1 or len(few) <= FEW:
        yield from map(function, tasks)
        return
    # A fork of a process that runs TensorFlow's threads may hang, so processes are spawned.
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
            f"one of {workers} processes was killed, perhaps for want of memory; free memory and "
            "run again"
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)


def _follow_parent() -> None:
    """Leaves Ctrl-C to the parent process, and ends this process when the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None  # only worker processes call this function

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _map_chunk(function: Callable[[Task], Result], tasks: list[Task]) -> list[Result]:
    return [function(task) for task in tasks]


def in_threads(
    function: Callable[[Task], Result], tasks: Iterable[Task], threads: int | None = None
) -> Iterator[Result]:
    """Yields `map(function, tasks)`, in order, by `threads` threads; None means up to `THREADS`.

    At most one task more than there are threads is under way before its result is taken, so that
    memory stays bounded. An error that `function` or `tasks` raises passes unchanged.
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
