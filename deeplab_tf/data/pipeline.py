"""Pipelines from TFRecords to batches, whose order depends only on the seed and the step.

Let N be the number of examples in an epoch. Example i of a run, counted from 0 over all epochs, is
record `i % N` of epoch `i // N`. Batch b begins with example `b * batch_size`, and runs across the
end of an epoch where `batch_size` does not divide N. The order of an epoch is drawn from (seed,
epoch), and the augmentation of an example is drawn from (seed, i). A run can therefore begin at any
step by skipping records, still encoded, within one epoch; and a shard of the input can take its
slice of every global batch. Where other splits are mixed in (`mixture`), i of the above counts the
examples of each split by themselves, and the augmentation is drawn from the example's number in the
run.

Where pixels of other images are pasted (`copy_paste`), the donor of example i of the run is record
`i % M` of the donors' own epoch `i // M`, where M is the number of donors.

Each epoch shuffles the files, reads `INTERLEAVED_FILES` files in turns, and shuffles the records
through a buffer. Only a buffer of at least N records makes all orders equally likely. A smaller
buffer mixes only neighbouring records; reading the files in turns is what brings distant records
near each other.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
import tensorflow as tf

from deeplab_tf.config import DataConfig
from deeplab_tf.config.gaps import known
from deeplab_tf.data.copy_paste import Donors
from deeplab_tf.data.mixture import MixedSplit, examples_before, make_pattern
from deeplab_tf.data.records import SplitFiles, naming_corrupt_file, parse_record
from deeplab_tf.data.training_example import Donor, make_example
from deeplab_tf.errors import DeeplabError
from deeplab_tf.machine.system import usable_cores

INTERLEAVED_FILES = 16
PREFETCHED_BATCHES = 2
"""The number of steps whose batches are prepared ahead.

The number is fixed because tf.data's own tuning would fill the memory: a batch of 16 images of
513x513 has 50 MB.
"""
PREFETCHED_IMAGES = 8
DONOR_BUFFER = 256
"""The most donors that are held for shuffling, still encoded, beside the records."""
EPOCHS = 2**40
"""More epochs than a run has: epoch e of the n-th split mixed in is drawn as n * EPOCHS + e. The
donors have the number after the last split's."""
plain = tf.autograph.experimental.do_not_convert
"""Traces a function as it is: rewriting the thirty that an example goes through takes a second."""


def training_batches(
    split: SplitFiles,
    data: DataConfig,
    *,
    batch_size: int,
    seed: int,
    start_step: int,
    mean_pixel: tuple[float, ...],
    shard_index: int = 0,
    num_shards: int = 1,
    parts: int = 1,
    mixed_in: Sequence[MixedSplit] = (),
    donors: Donors | None = None,
) -> tf.data.Dataset:
    """Returns the training batches from step `start_step` (counted from 0) on, without end.

    Args:
        split: the record files, and the number of examples in an epoch.
        data: the crop, the augmentations and the shuffle buffer.
        batch_size: the number of examples in the global batch, over all shards.
        seed: the seed of order and augmentation; TensorFlow's global seed changes nothing.
        start_step: the first step; the batches of earlier steps are skipped.
        mean_pixel: one number for each band; the value of pixels that an image does not cover.
        shard_index, num_shards: the slice of every global batch to yield; by default the whole
            batch. Records of other slices are skipped while still encoded.
        parts: the number of consecutive batches into which the slice is cut, one for each device.
        mixed_in: splits of other data sets and their shares of the examples; `split` has the rest.
        donors: the images to copy from, where `data.copy_paste` is on.

    Returns:
        A data set of (image float32 [B, *data.crop, bands], mask uint8 [B, *data.crop] of
        class ids and `VOID`), with B = batch_size / num_shards / parts; every size is static.

    Raises:
        DeeplabError: the split has no example, or the batch does not divide over the shards and
            parts.
    """
    if batch_size % (num_shards * parts):
        raise DeeplabError(
            f"train.batch_size must be a multiple of {num_shards * parts}, the number of parts of "
            f"a batch on all devices. Received: {batch_size}"
        )
    share = batch_size // num_shards
    start = start_step * batch_size
    records = _mixed_records(split, mixed_in, known(data.shuffle_buffer), seed, start)
    if donors is not None:
        source = len(mixed_in) + 1
        buffer = min(known(data.shuffle_buffer), DONOR_BUFFER)
        records = tf.data.Dataset.zip(records, _records(donors.split, buffer, seed, start, source))
    # Every element becomes (index, record) or (index, (record, donor)).
    records = records.enumerate(start)
    if num_shards > 1:
        records = records.filter(
            plain(lambda *example: example[0] % batch_size // share == shard_index)
        )

    def read(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parsed = parse_record(record, split.image_format)
        return parsed["image"], parsed["mask"]

    @plain
    def example(index: tf.Tensor, record) -> tuple[tf.Tensor, tf.Tensor]:
        donor = None
        if donors is not None:
            record, other = record
            donor = Donor(lambda: read(other), donors.classes)
        seeds = _seeds(seed, index)
        return make_example(*read(record), seeds, data, split.image_format, mean_pixel, donor)

    return (
        records.map(example, num_parallel_calls=usable_cores(), deterministic=True)
        .batch(share // parts, drop_remainder=True)
        # With an unknown cardinality, several workers ask each other before every step whether all
        # of them have another batch; so the pipeline is declared infinite.
        .apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
        .prefetch(PREFETCHED_BATCHES * parts)
        .with_options(_options())
    )


def _mixed_records(
    split: SplitFiles, mixed_in: Sequence[MixedSplit], buffer: int, seed: int, start: int
) -> tf.data.Dataset:
    """Returns the serialized records of the examples from number `start` on, without end."""
    if not mixed_in:
        return _records(split, buffer, seed, start, source=0)
    shares = [part.share for part in mixed_in]
    pattern = make_pattern([Fraction(1) - sum(shares), *shares])
    sources = [
        _records(part, buffer, seed, examples_before(pattern, source, start), source)
        for source, part in enumerate([split, *(part.split for part in mixed_in)])
    ]
    order = tf.data.Dataset.range(start, tf.int64.max).map(
        plain(lambda index: tf.gather(pattern, index % len(pattern)))
    )
    return tf.data.Dataset.choose_from_datasets(sources, order)


def _records(split: SplitFiles, buffer: int, seed: int, start: int, source: int) -> tf.data.Dataset:
    """Returns the serialized records of `split` from its example `start` on, without end.

    The number `source` makes the orders of several splits independent of each other.
    """
    _check_not_empty(split)
    epoch, position = divmod(start, split.num_examples)
    first = epoch + source * EPOCHS
    return (
        tf.data.Dataset.range(first, tf.int64.max)
        .flat_map(plain(lambda epoch: _epoch(split, buffer, seed, epoch)))
        .skip(position)
    )


def evaluation_images(
    split: SplitFiles, shard_index: int = 0, num_shards: int = 1
) -> tf.data.Dataset:
    """Returns every example of the split once, in the files' order, each image at its own size.

    Shard `shard_index` of several has the images `shard_index`, `shard_index + num_shards`, ...

    Returns:
        A data set of (id string, image uint8 or uint16 [H, W, bands], mask uint8 [H, W]).

    Raises:
        DeeplabError: the split has no example.
    """
    _check_not_empty(split)

    @plain
    def example(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        parsed = parse_record(record, split.image_format)
        return parsed["id"], parsed["image"], parsed["mask"]

    return (
        tf.data.TFRecordDataset(split.files)
        .shard(num_shards, shard_index)
        .map(example, num_parallel_calls=usable_cores(), deterministic=True)
        .prefetch(PREFETCHED_IMAGES)
        .with_options(_options())
    )


def labelled_images(
    split: SplitFiles, shard_index: int = 0, num_shards: int = 1
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yields (id, image [H, W, bands], mask uint8 [H, W]) of the examples of the split, in order.

    With several shards, only the examples of the shard `shard_index` come.

    Raises:
        DeeplabError: a record file is corrupt, which is found while reading; the message names the
            file.
    """
    with naming_corrupt_file(split):
        for name, image, mask in evaluation_images(
            split, shard_index, num_shards
        ).as_numpy_iterator():
            yield name.decode(), image, mask


def _epoch(split: SplitFiles, buffer: int, seed: int, epoch: tf.Tensor) -> tf.data.Dataset:
    """Returns the serialized records of one epoch, in the order that (seed, epoch) draws.

    Iterating raises an error where the files do not hold `num_examples` records, since the examples
    of a step could not be counted then.
    """
    # Dataset.shuffle also mixes in the seed of the graph in which it is built. That seed is the
    # program's global one unless this function's graph gets its own here, so that the order does
    # not depend on the program. The value is not 0, because with 0 TensorFlow goes on to compare
    # the tensor `mixing[0]` with a number in Python, which a graph does not allow.
    tf.compat.v1.set_random_seed(1)
    order, mixing = tf.unstack(tf.random.split(_seeds(seed, epoch), 2))
    files = tf.random.experimental.stateless_shuffle(tf.range(len(split.files)), order)
    return (
        tf.data.Dataset.from_tensor_slices(files)
        .interleave(
            lambda file: _records_of_file(split, file),
            cycle_length=min(INTERLEAVED_FILES, len(split.files)),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        .shuffle(min(buffer, split.num_examples), seed=mixing[0], reshuffle_each_iteration=False)
        .apply(tf.data.experimental.assert_cardinality(split.num_examples))
    )


def _records_of_file(split: SplitFiles, file: tf.Tensor) -> tf.data.Dataset:
    """Returns the serialized records of file number `file`.

    Each record comes as often as `split.repeats` says.
    """
    records = tf.data.TFRecordDataset(tf.gather(split.files, file))
    if split.repeats is None:
        return records
    repeats = tf.data.Dataset.from_tensor_slices(tf.ragged.constant(split.repeats, tf.int64)[file])
    return tf.data.Dataset.zip(records, repeats).flat_map(
        lambda *pair: tf.data.Dataset.from_tensors(pair[0]).repeat(pair[1])
    )


def _seeds(seed: int, index: tf.Tensor) -> tf.Tensor:
    """Returns (seed, index) as int64 [2], the seed of a stateless random operation."""
    return tf.stack([tf.constant(seed, tf.int64), index])


def _check_not_empty(split: SplitFiles) -> None:
    if not split.num_examples or not split.files:
        raise DeeplabError(
            "the split has no example; add names to the split's list and run deeplab-prepare again"
        )


def _options() -> tf.data.Options:
    options = tf.data.Options()
    # Each core works on images of its own. An operation that spread itself over the cores as well
    # would only wait for them (2 % more CPU), so each operation keeps to one thread. A private
    # thread pool for the pipeline made no difference.
    options.threading.max_intra_op_parallelism = 1
    # The end of a tuned pipeline may wait until its tuner looks again: for as long as the pipeline
    # has run, up to a minute.
    options.autotune.enabled = False
    return options
