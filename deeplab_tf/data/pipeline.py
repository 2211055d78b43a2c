"""TFRecords to batches, in an order that depends on the seed and the step alone.

Example i of a run, counted from 0 over all epochs, is record `i % N` of epoch `i // N`; batch b
holds examples `b * batch_size` and up, across the end of an epoch where N does not divide. Each
epoch has an order of its own, drawn from (seed, epoch); each example an augmentation of its own,
drawn from (seed, i). So a run can begin at any step by skipping records, still encoded, within one
epoch, and a shard of the input can take its slice of every global batch.

An epoch shuffles the files, reads `INTERLEAVED_FILES` of them in turns, and shuffles records
through a buffer. Only a buffer of at least N records gives every order the same chance; a smaller
one mixes neighbours, and the turns over files are what brings distant records near each other.
"""

import tensorflow as tf

from deeplab_tf.config import DataConfig
from deeplab_tf.data.augment import augment
from deeplab_tf.data.records import SplitFiles, parse_record
from deeplab_tf.errors import DeeplabError

INTERLEAVED_FILES = 16
PREFETCHED_BATCHES = 2
"""Fixed, where tf.data's own tuning would fill the memory: 16 images of 513x513 are 50 MB."""
PREFETCHED_IMAGES = 8


def training_batches(
    split: SplitFiles,
    config: DataConfig,
    *,
    batch_size: int,
    seed: int,
    start_step: int,
    mean_pixel: tuple[float, ...],
    shard_index: int = 0,
    num_shards: int = 1,
    parts: int = 1,
) -> tf.data.Dataset:
    """The training batches from step `start_step` (counted from 0) on, without end.

    Args:
        split: the record files and the examples of an epoch.
        config: crop, scales, flip and shuffle buffer.
        batch_size: examples of the global batch, over all shards.
        seed: of order and augmentation; TensorFlow's global seed changes nothing.
        start_step: the first step; the batches are those that come after `start_step` others.
        mean_pixel: a number a band, fills what an image does not cover.
        shard_index, num_shards: which slice of every global batch to yield; all of it by default.
            Records of other slices are skipped while still encoded.
        parts: into how many batches, one after the other, that slice is cut: one a device.

    Returns:
        A data set of (image float32 [B, crop, crop, bands], mask uint8 [B, crop, crop] of
        class ids and `VOID`), B = batch_size / num_shards / parts; no size is open.

    Raises:
        DeeplabError: the split has no example, or the batch does not divide over the shards.
    """
    _check_not_empty(split)
    if batch_size % (num_shards * parts):
        raise DeeplabError(
            f"train.batch_size must be a multiple of the {num_shards * parts} input shards. "
            f"Received: {batch_size}"
        )
    share = batch_size // num_shards
    start_index = start_step * batch_size
    start_epoch, position = divmod(start_index, split.num_examples)
    records = (
        tf.data.Dataset.range(start_epoch, tf.int64.max)
        .flat_map(lambda epoch: _epoch(split, config.shuffle_buffer, seed, epoch))
        .skip(position)
        .enumerate(start_index)
    )
    if num_shards > 1:
        records = records.filter(lambda *example: example[0] % batch_size // share == shard_index)

    def example(index: tf.Tensor, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parsed = parse_record(record, split.image_format)
        return augment(parsed["image"], parsed["mask"], _seeds(seed, index), config, mean_pixel)

    return (
        records.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(share // parts, drop_remainder=True)
        # Else several workers ask each other before every step whether all have a batch.
        .apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
        .prefetch(PREFETCHED_BATCHES * parts)
        .with_options(_options())
    )


def evaluation_images(
    split: SplitFiles, shard_index: int = 0, num_shards: int = 1
) -> tf.data.Dataset:
    """The split once, in the files' order, each image at its own size.

    Of several shards this one has the images `shard_index`, `shard_index + num_shards`, ...

    Returns:
        A data set of (id string, image uint8 or uint16 [H, W, bands], mask uint8 [H, W]).

    Raises:
        DeeplabError: the split has no example.
    """
    _check_not_empty(split)

    def example(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        parsed = parse_record(record, split.image_format)
        return parsed["id"], parsed["image"], parsed["mask"]

    return (
        tf.data.TFRecordDataset(split.files)
        .shard(num_shards, shard_index)
        .map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(PREFETCHED_IMAGES)
        .with_options(_options())
    )


def _epoch(split: SplitFiles, buffer: int, seed: int, epoch: tf.Tensor) -> tf.data.Dataset:
    """The serialized records of one epoch, in the order that (seed, epoch) draws.

    Raises (while iterating) where the files do not hold `num_examples` records: a step's examples
    could not be counted then.
    """
    # Dataset.shuffle also mixes in the seed of the graph it is built in, which for this function's
    # graph is the program's global seed unless it is set here (not to 0: it is compared with a
    # tensor then).
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
    """The serialized records of the file with that index, each as often as `split` says."""
    records = tf.data.TFRecordDataset(tf.gather(split.files, file))
    if split.repeats is None:
        return records
    repeats = tf.data.Dataset.from_tensor_slices(tf.ragged.constant(split.repeats, tf.int64)[file])
    return tf.data.Dataset.zip(records, repeats).flat_map(
        lambda *pair: tf.data.Dataset.from_tensors(pair[0]).repeat(pair[1])
    )


def _seeds(seed: int, index: tf.Tensor) -> tf.Tensor:
    """int64 [2], as the stateless random operations want it."""
    return tf.stack([tf.constant(seed, tf.int64), index])


def _check_not_empty(split: SplitFiles) -> None:
    if not split.num_examples or not split.files:
        raise DeeplabError(
            "the split has no example; look at the list in ImageSets and run deeplab-prepare again"
        )


def _options() -> tf.data.Options:
    options = tf.data.Options()
    # The cores share the images; an operation that spreads itself over them as well only waits
    # (2 % more CPU). A thread pool of its own brought nothing.
    options.threading.max_intra_op_parallelism = 1
    return options
