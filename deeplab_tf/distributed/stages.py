"""What a Dask worker does of a Beam pipeline: steps on the elements of a part, one by one.

Tested in tests/distributed/test_dask_runner.py, through `DaskRunner`.
"""

import collections
import dataclasses
import enum
import os
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.coders import FastPrimitivesCoder
from apache_beam.internal import pickler
from apache_beam.runners.common import DoFnRunner, Receiver
from apache_beam.transforms.sideinputs import SideInputMap
from apache_beam.transforms.window import GlobalWindows

from deeplab_tf.distributed.beam_plan import Step
from deeplab_tf.errors import DeeplabError


class How(enum.Enum):
    """How the elements of a collection are put into buckets: by key, in turn, or all in one."""

    BY_KEY = enum.auto()
    DEALT = enum.auto()
    WHOLE = enum.auto()


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


@dataclasses.dataclass(frozen=True)
class PickledStage:
    """A stage as Beam pickles it.

    Attributes:
        pickled: the stage; TensorFlow may be imported when it is unpickled.
        onednn: whether TensorFlow uses oneDNN, as in the process that began the job, or empty for
            TensorFlow's own choice; the labels of two choices differ in rounding.
    """

    pickled: bytes
    onednn: str = dataclasses.field(default_factory=lambda: os.environ.get(ONEDNN, ""))


def run_stage(given: PickledStage, number: int, parts: list[list[Any]]) -> Kept:
    """Does a stage on its part `number`, the elements of `parts`."""
    if given.onednn:
        os.environ.setdefault(ONEDNN, given.onednn)
    stage: Stage = pickler.loads(given.pickled)
    collection: dict[int, _Collection] = collections.defaultdict(_Collection)
    runners = [_runner(step, stage, collection) for step in stage.steps]
    for one, other in stage.flattened:
        collection[one].consumers.append(collection[other].receive)
    kept: Kept = {}
    for keep in stage.keeps:
        buckets = _Buckets(keep[1], stage.buckets, number)
        kept[keep] = buckets.lists
        collection[keep[0]].consumers.append(buckets.receive)
    try:
        for runner in runners:
            runner.setup()
        for runner in runners:
            runner.start()
        elements = (element for part in parts for element in part)
        for element in _grouped(elements) if stage.grouped else elements:
            collection[stage.source].receive(GlobalWindows.windowed_value(element))
        for runner in runners:
            runner.finish()
    finally:
        for runner in runners:
            runner.teardown()
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


def merge(pickled: bytes, parts: list[list[Any]]) -> list[Any]:
    """Merges the accumulators of each key by a pickled `CombineFn`, which may be done anywhere."""
    combine: beam.CombineFn = pickler.loads(pickled)
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
    def __init__(self, how: How, count: int, first: int):
        self.lists: list[list[Any]] = [[] for _ in range(1 if how is How.WHOLE else count)]
        self._how = how
        self._next = first

    def receive(self, windowed_value: Any) -> None:
        value = windowed_value.value
        number = 0
        if self._how is How.BY_KEY:
            # Python's own hash of a string differs from process to process.
            number = zlib.crc32(_encoded(value[0]))
        elif self._how is How.DEALT:
            number, self._next = self._next, self._next + 1
        self.lists[number % len(self.lists)].append(value)


_KEY_CODER = FastPrimitivesCoder().as_deterministic_coder("a key")


def _encoded(key: Any) -> bytes:
    return _KEY_CODER.encode(key)


def _grouped(pairs: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, list[Any]]]:
    groups: dict[bytes, tuple[Any, list[Any]]] = {}
    for key, value in pairs:
        groups.setdefault(_encoded(key), (key, []))[1].append(value)
    yield from groups.values()


def _runner(step: Step, stage: Stage, collection: dict[int, _Collection]) -> DoFnRunner:
    receivers = _Tagged({tag: collection[output] for tag, output in step.outputs.items()})
    sides = [
        SideInputMap(
            side.view,
            side.options,
            [GlobalWindows.windowed_value(value) for value in stage.sides[side.collection]],
        )
        for side in step.sides
    ]
    runner = DoFnRunner(
        step.fn,
        step.args,
        step.kwargs,
        sides,
        step.windowing,
        tagged_receivers=receivers,
        step_name=step.label,
    )
    collection[step.source].consumers.append(runner.process)
    return runner
