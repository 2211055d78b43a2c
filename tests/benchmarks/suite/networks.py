"""The network's forward pass and its training step, ours beside the others'."""

from collections.abc import Iterator

from deeplab_tf.models.kernels import OneDNN, onednn

from . import keras_hub_way, ours_tensorflow, torchvision_ways
from .goals import KERAS, OURS, PADDED
from .ours_tensorflow import Convolution
from .processor_peak import measure_group
from .turns import Group, Way
from .work import Work


def forward(rounds: int, size: int) -> Iterator[Group]:
    """Inference of one image at output_stride 16 and 8, and of the cascaded blocks."""
    for output_stride in (16, 8):
        yield _measure(Work(output_stride=output_stride, size=size), rounds)
    yield _measure(Work(size=size, cascaded=True), rounds, forms=())


def training(rounds: int, size: int) -> Iterator[Group]:
    """A training step of two crops at output_stride 16 and 8, and of the cascaded blocks."""
    for output_stride in (16, 8):
        work = Work(training=True, output_stride=output_stride, size=size, batch=2)
        yield _measure(work, rounds)
    yield _measure(Work(training=True, size=size, batch=2, cascaded=True), rounds, forms=())


def scaling(rounds: int, size: int) -> Iterator[Group]:
    """Inference by image size, batch and output_stride, beside torchvision's channels_last."""
    half = size // 2 + 1
    works = [Work(size=(size - 1) * step // 2 + 1) for step in (1, 2, 3, 4)]
    works += [Work(size=half, batch=batch) for batch in (2, 4, 8)]
    works += [Work(size=size, output_stride=stride) for stride in (8, 32)]
    for work in works:
        yield _measure(work, rounds, forms=("channels_last",), others=False)


def _measure(
    work: Work, rounds: int, forms: tuple[str, ...] = torchvision_ways.FORMS, others: bool = True
) -> Group:
    ours, model = ours_tensorflow.make_way(work)
    ways: dict[str, Way] = {OURS: ours}
    if others:
        off = onednn("float32") is OneDNN.OFF
        if not off:  # else there is no such gradient
            ways[PADDED] = ours_tensorflow.make_way(work, convolution=Convolution.TENSORFLOW)[0]
        if not (off and work.training and work.cascaded):  # where a step takes minutes
            ways[KERAS] = ours_tensorflow.make_way(work, convolution=Convolution.KERAS)[0]
    if forms:
        ways |= torchvision_ways.make_ways(work, forms=forms)
    flops = dict.fromkeys(ways, work.flops(model))
    if others and forms and work.output_stride == 16:
        name = "keras-hub's DeepLabv3+ (output_stride 32)"
        ways[name], flops[name] = keras_hub_way.make_way(work)
    return measure_group(str(work), ways, rounds, images=work.batch, flops=flops)
