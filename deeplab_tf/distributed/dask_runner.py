"""A runner of Beam pipelines on a cluster of Dask, which loses no element where a worker dies.

It does batch pipelines in the global window, without timestamps. Beam's own runner for Dask
collects the results of a step before its `finish_bundle`, drops the elements of tagged outputs and
does only the branch that was built last; docs/cluster.md has the figures.
"""

import collections
from collections.abc import Sequence
from typing import Any

from apache_beam.internal import pickler
from apache_beam.runners.runner import PipelineResult, PipelineRunner, PipelineState

from deeplab_tf.distributed.beam_plan import Impulse, Node, Shuffle, Step, plan_of
from deeplab_tf.distributed.dask_cluster import Cluster, connected
from deeplab_tf.distributed.fusion import fused, wanted_by
from deeplab_tf.distributed.stages import (
    How,
    Keep,
    PickledStage,
    Stage,
    import_all,
    merge,
    pick,
    run_stage,
    sizes,
)

PARTS = 16
"""The parts of a stage for each task that the cluster does at a time.

More parts balance better and are shorter to do again where a worker dies; each costs milliseconds.
"""
MOST_PARTS = 256
"""The most parts of a stage, or one for each task at a time where those are more.

A shuffle has up to a task of a millisecond for each pair of a part before and a part after it.
"""
SMALL = 1 << 16
"""The most bytes of a function that goes to all workers; those of `beam.Create` hold all values."""
MERGED = 8
"""The most parts whose accumulators are in one worker's memory to be merged."""


class DaskRunner(PipelineRunner):
    """A Beam runner on the scheduler at `address`, as `tcp://host:8786`."""

    def __init__(self, address: str):
        super().__init__()
        self._address = address

    def run_pipeline(self, pipeline: Any, options: Any) -> PipelineResult:
        """Runs the pipeline to its end.

        Raises:
            DeeplabError: the cluster is not there or is lost, or the pipeline has what this runner
                does not do. An error of a step passes, with the step's name added.
        """
        plan = plan_of(pipeline)
        with connected(self._address) as cluster:
            _Run(plan, cluster).run()
        return PipelineResult(PipelineState.DONE)


class _Run:
    """One run of a plan, stage by stage.

    What a stage leaves for others stays with the workers, and Dask does the parts of a dead worker
    again. Only side inputs and counts come to this process, and what is here is not done again.
    """

    def __init__(self, plan: list[Node], cluster: Cluster):
        self._plan = plan
        self._cluster = cluster
        self._buckets = max(cluster.threads, min(PARTS * cluster.threads, MOST_PARTS))
        self._readers = collections.Counter(keep for node in plan for keep in wanted_by(node))
        self._left: dict[Keep, list[tuple[Any, list[int]]]] = collections.defaultdict(list)
        """The parts that have elements of a `Keep`, with the sizes of their buckets."""

    def run(self) -> None:
        # All workers import TensorFlow now, and not only when the first has listed the inputs.
        functions = [node.fn for node in self._plan if isinstance(node, Step)]
        small = [function for function in functions if len(pickler.dumps(function)) < SMALL]
        given = PickledStage(pickler.dumps(small))
        nothing = [()] * self._cluster.workers
        # Dask drops a task whose future nobody holds.
        _imported = self._cluster.submit_parts("import", import_all, given, nothing)
        for node in self._plan:
            match node:
                case Impulse():
                    self._do(node, [[[b""]]])
                case Shuffle():
                    self._do(node, self._shuffled(node))
                case Step() if node.sides:
                    parts = [[part] for part in self._whole(node.source)]
                    self._do(node, parts)

    def _do(self, root: Impulse | Shuffle | Step, parts: list[list[Any]]) -> None:
        """Does the stage that begins at `root` on all parts, and waits for it."""
        sides = {}
        for side in root.sides if isinstance(root, Step) else ():
            gathered = self._cluster.results(self._whole(side.collection))
            sides[side.collection] = [value for part in gathered for value in part]
        stage = fused(self._plan, root, sides, set(self._readers), self._buckets)
        done = self._cluster.submit("stage", _same, PickledStage(pickler.dumps(stage)))
        made = self._cluster.submit_parts(f"part of {_name(stage)}", run_stage, done, parts)
        counting = [self._cluster.submit("sizes", sizes, one) for one in made]

        def again(number: int) -> Any:
            given = done, number, parts[number]
            made[number] = self._cluster.submit("part again", run_stage, *given)
            return self._cluster.submit("sizes", sizes, made[number])

        counted = self._cluster.results(counting, again)
        for one, counts in zip(made, counted, strict=True):
            for keep, of_buckets in counts.items():
                self._left[keep].append((one, of_buckets))

    def _read(self, keep: Keep) -> list[list[Any]]:
        """Returns the parts of each bucket, which are let go after the last reader."""
        left = self._left[keep]
        picked = [
            [
                self._cluster.submit("pick", pick, one, keep, bucket, counts[bucket])
                for one, counts in left
                if counts[bucket]
            ]
            for bucket in range(1 if keep[1] is How.WHOLE else self._buckets)
        ]
        self._readers[keep] -= 1
        if not self._readers[keep]:
            del self._left[keep]
        return picked

    def _whole(self, collection: int) -> list[Any]:
        return self._read((collection, How.WHOLE))[0]

    def _shuffled(self, node: Shuffle) -> list[list[Any]]:
        buckets = self._read((node.source, How.BY_KEY if node.by_key else How.DEALT))
        if node.combine is not None:
            combine = PickledStage(pickler.dumps(node.combine))
            buckets = [self._merged(combine, parts) for parts in buckets]
        return [parts for parts in buckets if parts]

    def _merged(self, combine: PickledStage, parts: list[Any]) -> list[Any]:
        while len(parts) > MERGED:
            together: Sequence[list[Any]] = [
                parts[first : first + MERGED] for first in range(0, len(parts), MERGED)
            ]
            parts = [self._cluster.submit("merge", merge, combine, some) for some in together]
        return parts


def _same(stage: PickledStage) -> PickledStage:
    """Returns its argument: a task's result goes to each worker once, and is made anew if lost."""
    return stage


def _name(stage: Stage) -> str:
    """Returns the first step's name, for Dask's dashboard."""
    return stage.steps[0].label.replace("-", " ")[:60] if stage.steps else "a shuffle"
