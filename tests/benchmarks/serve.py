"""One side of a benchmark in turns: a process that works when it is told to, then waits."""

import json
import os
import sys
import time
from collections.abc import Callable

SKIPPED = 8
"""Batches before the clock starts: more than any side has ready from before."""


def serve(next_batch: Callable[[], object], batch_size: int) -> None:
    """For each line of standard input, a number of seconds, answers with one line of JSON.

    `images_s` and `cpu_ms` an image are of `next_batch` alone, over all threads and child
    processes; returns when the input ends.
    """
    for line in sys.stdin:
        for _ in range(SKIPPED):
            next_batch()
        images, wall, cpu = 0, time.perf_counter(), _cpu_seconds()
        while time.perf_counter() - wall < float(line):
            next_batch()
            images += batch_size
        wall, cpu = time.perf_counter() - wall, _cpu_seconds() - cpu
        print(json.dumps({"images_s": images / wall, "cpu_ms": 1e3 * cpu / images}), flush=True)


def _cpu_seconds() -> float:
    """User and system time of this process and its living children (Linux)."""
    seconds = time.process_time()
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        children = file.read().split()
    for child in children:
        with open(f"/proc/{child}/stat") as file:
            user, system = file.read().rpartition(")")[2].split()[11:13]
        seconds += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return seconds
