"""What a Dask worker does of a Beam pipeline: steps on the elements of a part, one by one.

Tested in tests/distributed/test_dask_runner.py, through `DaskRunner`.
"""

import collections
import dataclasses
import enum
import functools
import importlib.metadata
import itertools
import os
import sys
import threading
import uuid
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import distributed
from apache_beam.internal import pickler
from apache_beam.runners.common import DoFnRunner, Receiver
from apache_beam.transforms.sideinputs import SideInputMap
from apache_beam.transforms.window import GlobalWindows

from deeplab_tf.distributed.beam_plan import Step, encoded_key
from deeplab_tf.errors import DeeplabError
from deeplab_tf.machine.sources import sources


class How(enum.Enum):
    """How the elements of a collection are put into buckets: by key, in turn, or all in one."""

    BY_KEY = enum.auto()
    DEALT = enum.auto()
    WHOLE = enum.auto()


MOST_STAGES = 2
"""The stages whose steps a worker keeps ready: of one job, or of two at the same time."""
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"

Keep = tuple[int, How]
"""A collection that later stages read, and how its elements are put into buckets."""
Kept = dict[Keep, list[list[Any]]]
"""The elements that a part leaves for later stages, in buckets."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """Steps that a worker does without any element leaving it, images among them.

    Attributes:
        source: the collection that the stage is given.
        grouped: whether its elements are pairs, of which those of a key become one.
        steps: the steps, each after those that it follows.
        flattened: pairs of a collection and another one that has all its elements too.
        sides: the elements of the collections that are side inputs.
        keeps: what is left for later stages.
        buckets: the number of buckets by key or in turn.
    """

    source: int
    grouped: bool
    steps: tuple[Step, ...]
    flattened: tuple[tuple[int, int], ...]
    sides: dict[int, list[Any]]
    keeps: tuple[Keep, ...]
    buckets: int


@functools.cache
def versions() -> dict[str, str]:
    """Returns what must be the same on all machines: functions are pickled by their names."""
    packages = {name: importlib.metadata.version(name) for name in ("tensorflow", "apache-beam")}
    python = ".".join(map(str, sys.version_info[:2]))
    return {"sources of deeplab_tf": sources(), "python": python, **packages}


@dataclasses.dataclass(frozen=True)
class PickledStage:
    """A stage, or other functions of a pipeline, as Beam pickles them.

    Attributes:
        pickled: the content; TensorFlow may be imported when it is unpickled.
        name: a name that no other stage has.
        onednn: the variable `ONEDNN` of the process that began the job, empty where it is not set.
            A worker takes it over before it imports TensorFlow, and refuses another one later:
            the labels of two choices differ in rounding.
        versions: `versions()` of the process that began the job; a worker refuses others.
    """

    pickled: bytes
    name: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)
    onednn: str = dataclasses.field(default_factory=lambda: os.environ.get(ONEDNN, ""))
    versions: dict[str, str] = dataclasses.field(default_factory=versions)


def import_all(given: PickledStage, number: int, part: tuple[()]) -> None:
    """Imports, TensorFlow too, what the pickled functions in `given` need.

    Raises:
        DeeplabError: the worker has other versions than the process that began the job, or has
            imported TensorFlow with another choice of oneDNN.
    """
    _unpickled(given)


def run_stage(given: PickledStage, number: int, parts: list[list[Any]]) -> Kept:
    """Does a stage on its part `number`, the elements of `parts`.

    The steps are made once for all parts that a worker does one after the other: a model stays
    loaded between two parts. They are let go when `MOST_STAGES` other stages have come.
    """
    with _LOCK:
        idle = _IDLE.pop(given.name, [])
        _IDLE[given.name] = idle
        steps = idle.pop() if idle else None
        old = [_IDLE.pop(name) for name in list(_IDLE)[:-MOST_STAGES]]
    for one in itertools.chain.from_iterable(old):
        one.end()
    steps = steps or _Steps(given)
    try:
        kept = steps.do(number, parts)
    except BaseException:
        steps.end()
        raise
    with _LOCK:
        _IDLE.setdefault(given.name, []).append(steps)
    return kept


def sizes(kept: Kept) -> dict[Keep, list[int]]:
    """Returns the number of elements in each bucket."""
    return {keep: [len(bucket) for bucket in buckets] for keep, buckets in kept.items()}


def pick(kept: Kept, keep: Keep, number: int, size: int) -> list[Any]:
    """Returns bucket `number`, which must have `size` elements, as when it was first made.

    Raises:
        DeeplabError: the bucket has another size: the part was done again after the loss of a
            worker, on other files than before.
    """
    bucket = kept[keep][number]
    if len(bucket) != size:
        raise DeeplabError(
            f"a part of the work was done twice and had {size} elements at first, then "
            f"{len(bucket)}: files were changed during the job; run the same command again"
        )
    return bucket


def merge(given: PickledStage, parts: list[list[Any]]) -> list[Any]:
    """Merges the accumulators of each key by a pickled `CombineFn`, which may be done anywhere."""
    combine: beam.CombineFn = _unpickled(given)
    combine.setup()
    merged = [
        (key, combine.compact(combine.merge_accumulators(accumulators)))
        for key, accumulators in _grouped(element for part in parts for element in part)
    ]
    combine.teardown()
    return merged


class _Collection(Receiver):
    """The way of an element to all that the stage does with it."""

    def __init__(self) -> None:
        self.consumers: list[Any] = []

    def receive(self, windowed_value: Any) -> None:
        for consumer in self.consumers:
            consumer(windowed_value)


class _Tagged(dict[str | None, Receiver]):
    """Receivers by tag; the elements of a tag that nothing reads are dropped, as Beam does."""

    def __missing__(self, tag: str | None) -> Receiver:
        return _Collection()


class _Buckets:
    """What a part leaves of one collection."""

    def __init__(self, how: How, count: int):
        self._how = how
        self._count = 1 if how is How.WHOLE else count

    def start(self, first: int) -> list[list[Any]]:
        """Returns new empty buckets, to be dealt to from bucket `first` on."""
        self._lists: list[list[Any]] = [[] for _ in range(self._count)]
        self._next = first
        return self._lists

    def receive(self, windowed_value: Any) -> None:
        value = windowed_value.value
        number = 0
        if self._how is How.BY_KEY:
            # Python's own hash of a string differs from process to process.
            number = zlib.crc32(encoded_key(value[0]))
        elif self._how is How.DEALT:
            number, self._next = self._next, self._next + 1
        self._lists[number % self._count].append(value)


class _Steps:
    """The steps of a stage, ready for one part after the other."""

    def __init__(self, given: PickledStage):
        self._stage: Stage = _unpickled(given)
        self._collections: dict[int, _Collection] = collections.defaultdict(_Collection)
        self._runners = [self._runner(step) for step in self._stage.steps]
        for one, other in self._stage.flattened:
            self._collections[one].consumers.append(self._collections[other].receive)
        self._buckets: dict[Keep, _Buckets] = {}
        for collection, how in self._stage.keeps:
            buckets = self._buckets[collection, how] = _Buckets(how, self._stage.buckets)
            self._collections[collection].consumers.append(buckets.receive)
        for runner in self._runners:
            runner.setup()

    def do(self, number: int, parts: list[list[Any]]) -> Kept:
        kept = {keep: buckets.start(number) for keep, buckets in self._buckets.items()}
        for runner in self._runners:
            runner.start()
        elements = (element for part in parts for element in part)
        for element in _grouped(elements) if self._stage.grouped else elements:
            value = GlobalWindows.windowed_value(element)
            self._collections[self._stage.source].receive(value)
        for runner in self._runners:
            runner.finish()
        return kept

    def end(self) -> None:
        for runner in self._runners:
            runner.teardown()

    def _runner(self, step: Step) -> DoFnRunner:
        outputs = {tag: self._collections[output] for tag, output in step.outputs.items()}
        sides = [
            SideInputMap(
                side.view,
                side.options,
                [
                    GlobalWindows.windowed_value(value)
                    for value in self._stage.sides[side.collection]
                ],
            )
            for side in step.sides
        ]
        runner = DoFnRunner(
            step.fn,
            step.args,
            step.kwargs,
            sides,
            step.windowing,
            tagged_receivers=_Tagged(outputs),
            step_name=step.label,
        )
        self._collections[step.source].consumers.append(runner.process)
        return runner


def _unpickled(given: PickledStage) -> Any:
    for name, version in given.versions.items():
        if versions().get(name) != version:
            raise DeeplabError(
                f"{_worker()} must have {name} {version}, as the command that began the job has. "
                f"Received: {versions().get(name)}; install the same and start the worker again"
            )
    with _LOCK:
        here = os.environ.get(ONEDNN, "")
        if here != given.onednn:
            if here or "tensorflow" in sys.modules:
                raise DeeplabError(
                    f"{_worker()} must have {ONEDNN}={given.onednn}, as the command that began the "
                    f"job has. Received: {here!r}, with which TensorFlow is loaded; start the "
                    "worker again"
                )
            os.environ[ONEDNN] = given.onednn
    return pickler.loads(given.pickled)


def _worker() -> str:
    try:
        return f"worker {distributed.get_worker().address}"
    except ValueError:
        return "this process"  # which runs a stage itself


_LOCK = threading.Lock()
_IDLE: dict[str, list[_Steps]] = {}
"""The idle steps of each stage, the stage that was used last at the end."""


def _grouped(pairs: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, list[Any]]]:
    groups: dict[bytes, tuple[Any, list[Any]]] = {}
    for key, value in pairs:
        groups.setdefault(encoded_key(key), (key, []))[1].append(value)
    yield from groups.values()
