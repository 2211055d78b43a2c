"""The memory that a training step and an evaluated image take, by measured constants.

The constants are of the rows of configs/own.py on a CPU in float32, as
`python tests/benchmarks/own_memory.py` prints them, rounded up. A GPU's step has the same maps and
other workspaces, which was not measured; options that save memory count as if they were off.
"""

import dataclasses

from deeplab_tf.config import Backbone, Experiment
from deeplab_tf.config.gaps import known


@dataclasses.dataclass(frozen=True)
class Cost:
    """Bytes of a backbone with the head of its own row.

    Attributes:
        at_rest: held by the process whatever the batch is: libraries, weights, optimiser.
        a_pixel: held for each pixel of the crops of a step, at output_stride 16 and at 8.
        evaluated: held for each pixel of an evaluated image, at output_stride 16 and at 8.
    """

    at_rest: int
    a_pixel: tuple[int, int]
    evaluated: tuple[int, int]


A_CLASS = 5
"""Bytes for each class and each pixel of the crops of a step, above those of 21 classes."""
CLASSES = 21

COSTS = {
    Backbone.MOBILENET_V2: Cost(840_000_000, (1740, 4040), (400, 400)),
    Backbone.MOBILENET_V3_LARGE: Cost(920_000_000, (1740, 4540), (250, 300)),
    Backbone.RESNET50: Cost(1_670_000_000, (2330, 5410), (240, 410)),
    Backbone.RESNET101: Cost(2_110_000_000, (3550, 9250), (240, 460)),
    Backbone.RESNET_SLIM: Cost(790_000_000, (430, 970), (170, 180)),
}


def step_bytes(experiment: Experiment, examples: float, crop: tuple[int, int]) -> int:
    """Returns the bytes of a process that takes steps with `examples` crops in memory at a time."""
    cost = _cost(experiment)
    pixels = examples * crop[0] * crop[1]
    classes = max(0, (experiment.model.num_classes or 0) - CLASSES)
    a_pixel = _at_stride(cost.a_pixel, experiment.model.output_stride) + A_CLASS * classes
    return round(cost.at_rest + pixels * a_pixel)


def evaluation_bytes(experiment: Experiment, pixels: float) -> int:
    """Returns the bytes that the evaluation of one image of so many pixels takes."""
    stride = experiment.evaluate.output_stride or experiment.model.output_stride
    return round(pixels * _at_stride(_cost(experiment).evaluated, stride))


def crop_of(experiment: Experiment) -> tuple[int, int]:
    """Returns height and width of the crop of an experiment whose crop is known."""
    return known(experiment.data.crop_size), experiment.data.crop_width or known(
        experiment.data.crop_size
    )


def _cost(experiment: Experiment) -> Cost:
    """Returns the cost of the backbone; `resnet_tiny`, which was not measured, is below `slim`."""
    return COSTS.get(experiment.model.backbone, COSTS[Backbone.RESNET_SLIM])


def _at_stride(costs: tuple[int, int], stride: int) -> int:
    """Returns the cost at an output_stride: from 16 on that of 16, at 4 four times that of 8."""
    if stride >= 16:
        return costs[0]
    return costs[1] * (8 // stride) ** 2
