"""Times ways to do the same work, taking turns, so that a drift of the machine meets all alike."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping

Way = Callable[[], object]
"""Does the work once and returns when it is done, also on a device."""


@dataclasses.dataclass(frozen=True)
class Group:
    """One piece of work, done in several ways.

    Attributes:
        name: of the work.
        seconds: by way, a number a round.
        images: that the work is done on.
        flops: by way, floating-point operations of the convolutions, a multiplication and an
            addition being two, where they were counted.
        peak: matrix-multiply peak of this machine, in operations a second, measured in the same
            turns; None where it was not.
        failures: by way, why it could not be timed.
    """

    name: str
    seconds: dict[str, list[float]]
    images: int = 1
    flops: Mapping[str, float] = dataclasses.field(default_factory=dict)
    peak: float | None = None
    failures: dict[str, str] = dataclasses.field(default_factory=dict)

    def median(self, way: str) -> float:
        """Seconds."""
        return statistics.median(self.seconds[way])

    def to_dict(self) -> dict:
        """For `bench.json`: the figures with every time behind them; `ratio` is the first way's
        median over this one's, so that more than 1 is faster than the first."""
        first = self.median(next(iter(self.seconds))) if self.seconds else None
        ways = {}
        for way, seconds in self.seconds.items():
            median = self.median(way)
            ways[way] = {"median_s": median, "ratio": first / median, "seconds": seconds}
            if way in self.flops and self.peak:
                ways[way]["of_peak"] = self.flops[way] / median / self.peak
        return {
            "name": self.name,
            "images": self.images,
            "flops": dict(self.flops),
            "peak_flops": self.peak,
            "ways": ways,
            "failures": self.failures,
        }


@dataclasses.dataclass(frozen=True)
class Memory:
    """Peak memory of pieces of work, each in a process of its own."""

    name: str
    peak_bytes: dict[str, int]

    def to_dict(self) -> dict:
        """For `bench.json`."""
        return {"name": self.name, "peak_bytes": self.peak_bytes}


def in_turns(
    ways: Mapping[str, Way], rounds: int, warm_up: int = 1
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Seconds of `rounds` runs of each way, and why those that failed did.

    A way that raises is left out from then on: one of the others' frameworks that does not run here
    must not cost the whole suite.
    """
    alive, seconds, failures = dict(ways), {}, {}
    for turn in range(-warm_up, rounds):
        for name, way in list(alive.items()):
            begin = time.perf_counter()
            try:
                way()
            except Exception as error:  # told in the table
                failures[name] = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
                del alive[name]
                continue
            if turn >= 0:
                seconds.setdefault(name, []).append(time.perf_counter() - begin)
    return {name: seconds[name] for name in alive}, failures
