"""A steady load at half of what a server can answer, with a hand-over in the middle of it.

`serve_load.py --minutes=N` runs it. Requests have fixed times, and seconds count from a request's
time, so that a server that falls behind is not asked less. An answer is right where its labels are
those of one version's SavedModel.
"""

import collections
import concurrent.futures
import dataclasses
import http.client
import itertools
import json
import threading
import time

import numpy as np
from server_watcher import HOST, Watcher

THREADS = 64
_WARM = 0.2
"""The share of the capacity's measurement that does not count."""


@dataclasses.dataclass(frozen=True)
class Good:
    """A good image: the request's body, and the labels by version."""

    body: bytes
    labels: dict[int, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Sample:
    """One answer: when it was due, sent and received, and the version; `wrong` says what is."""

    due: float
    sent: float
    received: float
    version: int = 0
    wrong: str = ""


class Asker:
    """Sends good requests to one path, and knows the answers that were found right."""

    def __init__(self, port: int, path: str, requests: list[Good]):
        self.port, self.path, self.requests = port, path, requests
        self._right: dict[tuple[int, bytes], int] = {}

    def ask(self, number: int, due: float) -> Sample:
        which = number % len(self.requests)
        sent = time.monotonic()
        connection = http.client.HTTPConnection(HOST, self.port, timeout=120)
        try:
            connection.request("POST", self.path, self.requests[which].body)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            return Sample(due, sent, time.monotonic(), wrong=f"no answer: {error!r}")
        finally:
            connection.close()
        received = time.monotonic()
        if answer.status != 200:
            return Sample(due, sent, received, wrong=f"{answer.status}: {content[:200]!r}")
        version = self._version(which, content)
        wrong = "" if version else "the labels are of no version's SavedModel"
        return Sample(due, sent, received, version, wrong)

    def _version(self, which: int, content: bytes) -> int:
        """The version whose labels the answer has; 0: none. Equal answers are parsed once."""
        key = which, content
        if key not in self._right:
            labels = np.array(json.loads(content)["predictions"][0]["labels"])
            known = self.requests[which].labels.items()
            found = [version for version, each in known if np.array_equal(labels, each)]
            self._right[key] = min(found, default=0)
        return self._right[key]


def capacity(asker: Asker, clients: int, seconds: float) -> float:
    """Requests a second that so many clients get answered, each one after the other."""
    begin = time.monotonic()
    end = begin + seconds
    numbers = itertools.count()

    def client() -> list[Sample]:
        samples = []
        while (now := time.monotonic()) < end:
            samples.append(asker.ask(next(numbers), now))
        return samples

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        futures = [pool.submit(client) for _ in range(clients)]
        samples = [sample for future in futures for sample in future.result()]
    wrong = [sample.wrong for sample in samples if sample.wrong]
    if wrong:
        raise SystemExit(f"WRONG while the capacity was measured: {wrong[0]}")
    first = begin + _WARM * seconds
    return sum(first < s.received <= end for s in samples) / (end - first)


def steady(asker: Asker, rate: float, seconds: float, at_half) -> list[Sample]:
    """Samples of requests at an even rate; `at_half` is called in the middle, beside them."""
    numbers, begin = itertools.count(), time.monotonic() + 0.5
    count = int(rate * seconds)

    def thread() -> list[Sample]:
        samples = []
        while (number := next(numbers)) < count:
            due = begin + number / rate
            time.sleep(max(0.0, due - time.monotonic()))
            if number == count // 2:
                threading.Thread(target=at_half).start()
            samples.append(asker.ask(number, due))
        return samples

    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(thread) for _ in range(THREADS)]
        return sorted(
            (sample for future in futures for sample in future.result()), key=lambda s: s.due
        )


def older_after_newer(samples: list[Sample]) -> int:
    """The number of requests sent after an answer of the newest version, and answered by another.

    None is allowed: a version that has taken over answers everyone.
    """
    newest = max(sample.version for sample in samples)
    first = min(s.received for s in samples if s.version == newest)
    return sum(s.sent > first and 0 < s.version < newest for s in samples)


def report(samples: list[Sample], watcher: Watcher) -> bool:
    """Prints the figures; returns whether none was lost and p99 is under three times p50."""
    times = np.array([s.received - s.due for s in samples])
    p50, p99 = np.percentile(times, [50, 99])
    lost = collections.Counter(s.wrong for s in samples if s.wrong)
    seconds = samples[-1].due - samples[0].due
    print(f"{len(samples)} requests in {seconds:.0f} s, {sum(lost.values())} lost")
    for reason, count in lost.items():
        print(f"LOST, {count} times: {reason}")
    print(f"p50 {p50:.3f} s, p99 {p99:.3f} s, {p99 / p50:.1f} times p50; longest {times.max():.3f}")
    memory = watcher.memory
    print(
        f"server memory, MB: {memory[0]:.0f} at the begin, {max(memory):.0f} at most, "
        f"{memory[-1]:.0f} at the end"
    )
    return not lost and p99 < 3 * p50


def report_hand_over(samples: list[Sample], watcher: Watcher) -> bool:
    """Prints the figures of the hand-over; returns whether it ended and was in one direction."""
    versions = collections.Counter(s.version for s in samples)
    older = older_after_newer(samples)
    print(f"answers by version: {dict(sorted(versions.items()))}; older after newer: {older}")
    if not watcher.ended:
        print("the hand-over did not end")
        return False
    inside = [watcher.copied <= s.due <= watcher.ended for s in samples]
    during = np.array([s.received - s.due for s in samples])[inside]
    p50, p99 = np.percentile(during, [50, 99])
    print(
        f"the hand-over took {watcher.ended - watcher.copied:.0f} s; {len(during)} requests "
        f"meanwhile: p50 {p50:.3f} s, p99 {p99:.3f} s"
    )
    return not older and len(versions) == 2
