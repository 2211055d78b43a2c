"""Which steps of a pipeline are one stage: all from one shuffle to the next.

Tested in tests/distributed/test_dask_runner.py, through `DaskRunner`.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

from deeplab_tf.distributed.beam_plan import Flatten, Impulse, Node, Shuffle, Step
from deeplab_tf.distributed.stages import How, Keep, Stage

_ITS_OWN = 0
"""The collection of a stage that begins with a step, whose collection other steps read as well."""


def wanted_by(node: Node) -> Iterator[Keep]:
    """Yields what a node reads that earlier stages must leave, once for each time it is read.

    A step with side inputs begins a stage, since its side inputs may be made of its other input.
    """
    match node:
        case Shuffle():
            yield node.source, How.BY_KEY if node.by_key else How.DEALT
        case Step(sides=sides) if sides:
            yield node.source, How.WHOLE
            for side in sides:
                yield side.collection, How.WHOLE


def fused(
    plan: list[Node],
    root: Impulse | Shuffle | Step,
    sides: dict[int, list[Any]],
    wanted: set[Keep],
    buckets: int,
) -> Stage:
    """Returns the stage that begins at `root`.

    The stage has all steps that follow without a shuffle. Those behind a `Flatten` are in the
    stages of all its sources, each of which does them on its own elements.

    Args:
        plan: all nodes of the pipeline, each after those that it follows.
        root: the node that the stage begins at.
        sides: the elements of the side inputs of `root`.
        wanted: what all nodes of the plan read.
        buckets: the number of buckets of what is shuffled.
    """
    source, steps = _ITS_OWN, []
    if isinstance(root, Step):
        steps = [dataclasses.replace(root, source=source)]
        reached = set(root.outputs.values())
    else:
        source = root.output
        reached = {source}
    flattened = []
    for node in plan:
        match node:
            case Step(sides=()) if node.source in reached:
                steps.append(node)
                reached.update(node.outputs.values())
            case Flatten():
                sources = [one for one in node.sources if one in reached]
                flattened += [(one, node.output) for one in sources]
                reached.update(node.output for _ in sources)
    return Stage(
        source,
        isinstance(root, Shuffle) and root.by_key,
        tuple(steps),
        tuple(flattened),
        sides,
        tuple(keep for keep in wanted if keep[0] in reached),
        buckets,
    )
