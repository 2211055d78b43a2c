"""A Beam pipeline as a list of the few kinds of work that `dask_runner` does.

Tested in tests/distributed/test_dask_runner.py, through `DaskRunner`.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.coders import FastPrimitivesCoder
from apache_beam.pipeline import AppliedPTransform
from apache_beam.runners.common import DoFnSignature
from apache_beam.transforms.combiners import curry_combine_fn
from apache_beam.transforms.window import GlobalWindows

from deeplab_tf.errors import DeeplabError


@dataclasses.dataclass(frozen=True)
class Impulse:
    """The one element `b""` in the collection `output`, with which each pipeline begins."""

    output: int


@dataclasses.dataclass(frozen=True)
class Side:
    """A side input: all of `collection`, in the form of Beam's class `view` with `options`."""

    collection: int
    view: Any
    options: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Step:
    """A `ParDo`: the function of each element.

    Attributes:
        label: the name in the pipeline.
        fn: the function.
        source: the collection that `fn` is given.
        outputs: the collection of each tag; that of None is the main output.
        windowing: Beam's windowing of `source`.
        args: the positional arguments of `fn`, with placeholders for side inputs.
        kwargs: the named arguments.
        sides: the side inputs, in the order of their placeholders.
    """

    label: str
    fn: beam.DoFn
    source: int
    outputs: dict[str | None, int]
    windowing: Any
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)
    sides: tuple[Side, ...] = ()


@dataclasses.dataclass(frozen=True)
class Flatten:
    """The collections `sources` as one."""

    sources: tuple[int, ...]
    output: int


@dataclasses.dataclass(frozen=True)
class Shuffle:
    """The elements of `source`, dealt out anew over the workers.

    Attributes:
        source: the collection.
        output: the collection that gets the elements.
        by_key: whether all pairs of a key become one pair of the key and a list.
        combine: the function whose accumulators the values are, so that those of a key may be
            merged on the way; None for other values.
    """

    source: int
    output: int
    by_key: bool
    combine: beam.CombineFn | None = None


Node = Impulse | Step | Flatten | Shuffle


def plan_of(pipeline: beam.Pipeline) -> list[Node]:
    """Lists the work of a pipeline, each collection after those that it is made of.

    `beam.Reshuffle` is a `Shuffle` and not what Beam makes of it: the random keys of Beam deal
    elements out otherwise when a part is done again, which loses some and doubles others.
    `beam.CombinePerKey` combines what is at hand before anything goes to another worker.

    Raises:
        DeeplabError: the pipeline has windows, state, timers, splittable functions or other work
            that has no kind here; the message names the transform.
    """
    return list(_Planner().nodes(pipeline.transforms_stack[0]))


class _Planner:
    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self._made = 0

    def nodes(self, applied: AppliedPTransform) -> Iterator[Node]:
        """Yields the nodes of a transform and of all its parts."""
        transform = applied.transform
        for output in applied.outputs.values():
            if isinstance(output, beam.pvalue.PCollection) and not output.windowing.is_default():
                raise _refused(applied, "other windows than the global one")
        match transform:
            case beam.Impulse():
                yield Impulse(self._output(applied))
            case beam.Flatten():
                yield Flatten(tuple(map(self._number, applied.inputs)), self._output(applied))
            case beam.GroupByKey():
                yield Shuffle(self._source(applied), self._output(applied), by_key=True)
            case beam.Reshuffle():
                yield Shuffle(self._source(applied), self._output(applied), by_key=False)
            case beam.CombinePerKey() if not transform.side_inputs:
                yield from self._combine(applied)
            case beam.ParDo() if not applied.parts:
                yield self._step(applied)
            case _ if applied.parts:
                for part in applied.parts:
                    yield from self.nodes(part)
            case _ if not set(applied.outputs.values()) <= set(applied.inputs):
                raise _refused(applied, type(transform).__name__)

    def _step(self, applied: AppliedPTransform) -> Step:
        transform: Any = applied.transform
        signature = DoFnSignature(transform.fn)
        if signature.is_stateful_dofn() or signature.is_splittable_dofn():
            raise _refused(applied, "functions with state, timers or restrictions")
        return Step(
            applied.full_label,
            transform.fn,
            self._source(applied),
            {tag: self._number(output) for tag, output in applied.outputs.items()},  # pyright: ignore[reportArgumentType]
            applied.inputs[0].windowing,
            tuple(transform.args),
            dict(transform.kwargs),
            tuple(
                Side(self._number(side.pvalue), type(side), side._view_options())
                for side in applied.side_inputs
            ),
        )

    def _combine(self, applied: AppliedPTransform) -> Iterator[Node]:
        transform: Any = applied.transform
        combine = curry_combine_fn(transform.fn, transform.args, transform.kwargs)
        partial, grouped = self._new(), self._new()
        label, windowing = applied.full_label, applied.inputs[0].windowing
        yield Step(label, _Combine(combine), self._source(applied), {None: partial}, windowing)
        yield Shuffle(partial, grouped, by_key=True, combine=combine)
        yield Step(label, _Extract(combine), grouped, {None: self._output(applied)}, windowing)

    def _source(self, applied: AppliedPTransform) -> int:
        return self._number(applied.inputs[0])

    def _output(self, applied: AppliedPTransform) -> int:
        return self._number(applied.outputs[None])

    def _number(self, collection: Any) -> int:
        if collection not in self._numbers:
            self._numbers[collection] = self._new()
        return self._numbers[collection]

    def _new(self) -> int:
        self._made += 1
        return self._made


def _refused(applied: AppliedPTransform, what: str) -> DeeplabError:
    return DeeplabError(
        f"--runner=DaskRunner has no {what}, which {applied.full_label} needs; "
        "use another runner of Beam"
    )


_KEY_CODER = FastPrimitivesCoder().as_deterministic_coder("a key")


def encoded_key(key: Any) -> bytes:
    """Returns the bytes by which keys are compared: 1, 1.0 and True are three keys, as in Beam."""
    return _KEY_CODER.encode(key)


class _Combine(beam.DoFn):
    """A step from pairs to one (key, accumulator) for each key at hand."""

    def __init__(self, combine: beam.CombineFn):
        self._combine = combine

    def setup(self) -> None:
        self._combine.setup()

    def start_bundle(self) -> None:
        self._sums: dict[bytes, tuple[Any, Any]] = {}

    def process(self, element: tuple[Any, Any]) -> None:
        key, value = element
        encoded = encoded_key(key)
        if encoded not in self._sums:
            self._sums[encoded] = key, self._combine.create_accumulator()
        key, accumulator = self._sums[encoded]
        self._sums[encoded] = key, self._combine.add_input(accumulator, value)

    def finish_bundle(self) -> Iterator[Any]:
        for key, accumulator in self._sums.values():
            yield GlobalWindows.windowed_value((key, self._combine.compact(accumulator)))

    def teardown(self) -> None:
        self._combine.teardown()


class _Extract(beam.DoFn):
    """A step from (key, accumulators) to the key's result."""

    def __init__(self, combine: beam.CombineFn):
        self._combine = combine

    def setup(self) -> None:
        self._combine.setup()

    def process(self, element: tuple[Any, list[Any]]) -> Iterator[tuple[Any, Any]]:
        key, accumulators = element
        merged = self._combine.merge_accumulators(accumulators)
        yield key, self._combine.extract_output(merged)

    def teardown(self) -> None:
        self._combine.teardown()
