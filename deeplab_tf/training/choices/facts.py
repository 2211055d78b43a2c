"""What the rules know of a data set and of a machine.

Tested in tests/training/choices/test_choose.py.
"""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from deeplab_tf.config import Experiment
from deeplab_tf.data.mixture import MixedSplit, shown_pixels
from deeplab_tf.data.records import Records, SplitFiles, naming_corrupt_file, read_sides
from deeplab_tf.data.split_names import held_out_split
from deeplab_tf.distributed.processes import Workers
from deeplab_tf.distributed.strategy import own_devices
from deeplab_tf.machine.gpu_memory import free_gpu_memory
from deeplab_tf.machine.memory import usable_memory

LOOKED_AT = 1000
"""The most records whose sizes are read. Records lie in the order of the hashes of their names, so
that the first are a sample of all."""


@dataclasses.dataclass(frozen=True)
class DataFacts:
    """A training's images.

    Attributes:
        images: how many different images an epoch has; those of data sets that are mixed in count
            by their share of the examples.
        shorter: the side in pixels that the shorter sides of three quarters of the images reach.
        size: (height, width) in pixels of the image with the median number of pixels.
        longest: the longest side of all images, in pixels; 0 where it is not known.
        tenths: the longer sides in pixels that a tenth of the images are at most, and at least.
        tiles: whether the images are tiles, whose pixels have one scale.
        shares: the share of the labelled pixels that each class has which has any, by name.
        held_out: how many images the split has that the run is evaluated on.
        record_bytes: the mean size of a record, still encoded.
    """

    images: int
    shorter: int
    size: tuple[int, int]
    longest: int = 0
    tenths: tuple[int, int] | None = None
    tiles: bool = False
    shares: dict[str, float] = dataclasses.field(default_factory=dict)
    held_out: int = 0
    record_bytes: int = 0

    @property
    def longer(self) -> int:
        """Returns the longer side of the median image, in pixels."""
        return max(self.size)


@dataclasses.dataclass(frozen=True)
class Machine:
    """What a training runs on.

    Attributes:
        device: `CPU`, `GPU` or `TPU`.
        replicas: how many devices share the global batch.
        memory: the bytes that one replica can have, None where nothing says it.
        host: the bytes that the process can have on the host, None where nothing says it.
    """

    device: str = "CPU"
    replicas: int = 1
    memory: int | None = None
    host: int | None = None


def describe_data(
    experiment: Experiment, records: Records, mixed_in: Sequence[MixedSplit] = ()
) -> DataFacts:
    """Returns what is known of the images that `experiment` is trained and evaluated on.

    Sizes are those of at most `LOOKED_AT` images of the experiment's own split.

    Raises:
        DeeplabError: a record file is corrupt.
    """
    split = records.split(experiment.data.split)
    with naming_corrupt_file(split):
        sizes = image_sizes(split, LOOKED_AT)
    shorter = sorted(min(size) for size in sizes)
    longer = sorted(max(size) for size in sizes)
    tenth = (len(longer) - 1) // 10
    by_pixels = sorted(sizes, key=lambda size: size[0] * size[1])
    pixels = np.array(shown_pixels(records, experiment.data.split, mixed_in)[:-1], np.float64)
    names = records.classes.names
    held_out = records.splits.get(held_out_split(records.splits, experiment.evaluate.split))
    return DataFacts(
        images=round(split.num_examples / (1 - float(sum(part.share for part in mixed_in)))),
        shorter=shorter[(len(shorter) - 1) // 4],
        size=by_pixels[(len(by_pixels) - 1) // 2],
        longest=records.longest_side or 0,
        tenths=(longer[tenth], longer[-1 - tenth]),
        tiles=records.longest_side == 0,
        shares={
            name: float(share)
            for name, share in zip(names, pixels / pixels.sum(), strict=True)
            if share
        },
        held_out=held_out.num_examples if held_out else 0,
        record_bytes=sum(map(os.path.getsize, split.files)) // split.num_examples,
    )


def image_sizes(split: SplitFiles, most: int) -> list[tuple[int, int]]:
    """Returns (height, width) in pixels of the first `most` images of `split`."""
    found = tf.data.TFRecordDataset(split.files).take(most).map(read_sides)
    return [(int(height), int(width)) for width, height in found.as_numpy_iterator()]


def describe_machine(strategy: tf.distribute.Strategy, workers: Workers) -> Machine:
    """Returns what `strategy` runs on; the memory is that of this one of the `workers`.

    Workers on one host share its memory, and replicas on CPUs that of their worker.
    """
    replicas, beside = strategy.num_replicas_in_sync, workers_beside(workers)
    host = usable_memory() // beside
    if isinstance(strategy, tf.distribute.TPUStrategy):
        return Machine("TPU", replicas, host=host)
    if tf.config.list_logical_devices("GPU"):
        numbers = [int(name.rpartition(":")[2]) for name in own_devices(strategy) or ["GPU:0"]]
        free = free_gpu_memory({number: _held(number) for number in numbers})
        return Machine("GPU", replicas, free, host)
    return Machine("CPU", replicas, host * workers.count // replicas, host)


def workers_beside(workers: Workers) -> int:
    """Returns how many of `workers` run on this one's host, this one included, by addresses."""
    hosts = [address.rpartition(":")[0] for address in workers.addresses]
    return hosts.count(hosts[workers.index]) if hosts else 1


def _held(number: int) -> bool:
    """Returns whether this process has taken memory of the GPU `number`."""
    return tf.config.experimental.get_memory_info(f"GPU:{number}")["peak"] > 0
