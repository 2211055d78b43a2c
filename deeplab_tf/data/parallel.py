"""A function over many inputs, in processes of their own."""

import collections
import concurrent.futures.process
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from deeplab_tf.errors import DeeplabError
from deeplab_tf.machine import MOST_PROCESSES, usable_cores

Task = TypeVar("Task")
Result = TypeVar("Result")

CHUNK = 8
"""Inputs that one process takes at a time: fewer, and handing them over costs more than they do."""
FEW = 64
"""Up to as many inputs are done here: processes take half a second to start."""


def ordered_map(
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
