"""A function over many inputs, in threads: for files, whose codecs let other threads run."""

import collections
import concurrent.futures
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from deeplab_tf.machine import usable_cores

THREADS = 4
"""More would hold more pictures than they save time: one decodes dozens of photos a second."""

Task = TypeVar("Task")
Result = TypeVar("Result")


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
