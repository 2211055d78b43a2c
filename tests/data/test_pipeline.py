"""The order of examples: a function of (seed, step), the same for every way of starting and
sharding."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.config import DataConfig
from deeplab_tf.data.copy_paste import Donors
from deeplab_tf.data.pipeline import evaluation_images, training_batches
from deeplab_tf.data.records import SplitFiles
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOID

MEAN = (123.15, 115.90, 103.06)
# An image is 8x9 of one colour, its number; nothing but a crop of it can come out.
DATA = DataConfig(crop_size=5, min_scale=1.0, max_scale=1.0, shuffle_buffer=4)
AUGMENTED = dataclasses.replace(DATA, crop_size=9, min_scale=0.5, max_scale=2.0)

EVERY_AUGMENTATION = {
    "rotation": 20.0,
    "brightness": 0.125,
    "contrast": 0.5,
    "saturation": 0.5,
    "hue": 0.1,
    "grey": 0.3,
    "blur": 1.0,
    "noise": 0.05,
    "jpeg_quality": 40,
    "cut_out": 0.5,
    "copy_paste": 0.5,
}


def _record(name: str, image: np.ndarray, mask: np.ndarray) -> bytes:
    features = {
        "id": name.encode(),
        "image": tf.io.encode_png(image).numpy(),
        "mask": tf.io.encode_png(mask[..., None]).numpy(),
    }
    example = tf.train.Example()
    for key, value in features.items():
        example.features.feature[key].bytes_list.value.append(value)
    return example.SerializeToString()


def _write(folder, counts: tuple[int, ...]) -> SplitFiles:
    """Record files with `counts` examples each, numbered from 0 on."""
    files, numbers = [], itertools.count()
    for file_index, count in enumerate(counts):
        files.append(f"{folder}/train-{file_index}.tfrecord")
        with tf.io.TFRecordWriter(files[-1]) as writer:
            for number in itertools.islice(numbers, count):
                image = np.full((8, 9 + number % 3, 3), number, np.uint8)
                image[0, 0] = 255 - number
                writer.write(_record(f"image{number}", image, image[..., 0]))
    return SplitFiles(files, sum(counts))


@pytest.fixture
def split(tmp_path) -> SplitFiles:
    return _write(tmp_path, (5, 3, 3))


@pytest.fixture
def one_image(tmp_path) -> SplitFiles:
    """A split of one image of noise."""
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    path = f"{tmp_path}/one.tfrecord"
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(_record("noise", image, image[..., 0]))
    return SplitFiles([path], 1)


def _batches(split, steps, *, data=DATA, batch_size=4, seed=0, start_step=0, **shard):
    dataset = training_batches(
        split,
        data,
        batch_size=batch_size,
        seed=seed,
        start_step=start_step,
        mean_pixel=MEAN,
        **shard,
    )
    return list(dataset.take(steps).as_numpy_iterator())


def _numbers(batches) -> list[int]:
    """Which images the batches are of, in order."""
    return [int(np.median(image)) for batch in batches for image in batch[0]]


def _assert_equal(got, want):
    assert len(got) == len(want)
    for one, other in zip(got, want, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_batches_have_the_promised_form(split):
    images, masks = _batches(split, 1, data=AUGMENTED)[0]
    assert (images.shape, images.dtype) == ((4, 9, 9, 3), np.float32)
    assert (masks.shape, masks.dtype) == ((4, 9, 9), np.uint8)
    assert set(np.unique(masks)) <= {*range(11), *range(245, 255), VOID}


def test_every_epoch_has_every_example_once_in_another_order(split):
    # 11 steps of 4 are 4 epochs of 11 examples: the batches run over the epochs' ends.
    numbers = _numbers(_batches(split, 11))
    epochs = [numbers[start : start + 11] for start in range(0, 44, 11)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(11))
    assert len({tuple(epoch) for epoch in epochs}) == 4


@pytest.mark.parametrize("buffer", [1, 4, 1000])
def test_starting_at_a_step_equals_going_there(split, buffer):
    data = dataclasses.replace(AUGMENTED, shuffle_buffer=buffer)
    whole = _batches(split, 9, data=data)
    for start_step in (1, 2, 3, 5, 8):
        late = _batches(split, 9 - start_step, data=data, start_step=start_step)
        _assert_equal(late, whole[start_step:])


def test_with_every_augmentation_starting_late_and_sharding_equal_going_there(split):
    """Pasted images come from an order of their own, which must be entered at the same place."""
    data = dataclasses.replace(AUGMENTED, crop_width=12, **EVERY_AUGMENTATION)
    repeats = ((1, 0, 0, 1, 0), (0, 1, 0), (1, 1, 1))
    donors = Donors(dataclasses.replace(split, num_examples=6, repeats=repeats), (0, 3, 8))
    whole = _batches(split, 7, data=data, donors=donors)
    images, masks = whole[0]
    assert (images.shape, masks.shape) == ((4, 9, 12, 3), (4, 9, 12))
    late = _batches(split, 4, data=data, donors=donors, start_step=3)
    _assert_equal(late, whole[3:])
    second = _batches(split, 7, data=data, donors=donors, shard_index=1, num_shards=2)
    _assert_equal(second, [(images[2:], masks[2:]) for images, masks in whole])


def test_each_donor_gives_as_often_as_the_others(split):
    """Where every pixel is pasted over, nothing but the donors is seen."""
    data = dataclasses.replace(DATA, copy_paste=1.0)
    repeats = ((1, 0, 0, 1, 0), (0, 1, 0), (1, 1, 1))
    donors = Donors(dataclasses.replace(split, num_examples=6, repeats=repeats), tuple(range(256)))
    numbers = _numbers(_batches(split, 6, data=data, donors=donors))
    assert [sorted(numbers[start : start + 6]) for start in range(0, 24, 6)] == [
        [0, 3, 6, 8, 9, 10]
    ] * 4
    assert len({tuple(numbers[start : start + 6]) for start in range(0, 24, 6)}) > 1


def test_starting_far_into_training_keeps_the_order_of_that_epoch(split):
    # Step 11e9 begins an epoch (a multiple of 11), beyond 32 bits of example index.
    numbers = _numbers(_batches(split, 3, start_step=11_000_000_000))
    assert sorted(numbers[:11]) == list(range(11))


def test_a_batch_larger_than_the_data_set_spans_epochs(split):
    numbers = _numbers(_batches(split, 1, batch_size=33))
    assert np.bincount(numbers).tolist() == [3] * 11


def test_same_seed_same_batches_whatever_the_global_seed(split):
    first = _batches(split, 4, data=AUGMENTED, seed=5)
    tf.random.set_seed(1234)
    _assert_equal(_batches(split, 4, data=AUGMENTED, seed=5), first)


def test_other_seeds_give_other_orders(split):
    orders = {tuple(_numbers(_batches(split, 3, seed=seed))[:11]) for seed in range(4)}
    assert len(orders) == 4


def test_other_seeds_give_other_crops(one_image):
    first, second = (_batches(one_image, 1, data=AUGMENTED, seed=seed)[0][1] for seed in (0, 1))
    for mask, other in zip(first, second, strict=True):
        assert not np.array_equal(mask, other)


def test_an_example_is_augmented_anew_each_time(one_image):
    masks = _batches(one_image, 1, data=AUGMENTED, batch_size=8)[0][1]
    assert len({mask.tobytes() for mask in masks}) == 8


@pytest.mark.parametrize("num_shards", [2, 4])
def test_shards_are_the_slices_of_the_global_batch(split, num_shards):
    whole = _batches(split, 5, data=AUGMENTED, start_step=2)
    shards = [
        _batches(split, 5, data=AUGMENTED, start_step=2, shard_index=index, num_shards=num_shards)
        for index in range(num_shards)
    ]
    together = [
        tuple(np.concatenate(parts) for parts in zip(*step, strict=True))
        for step in zip(*shards, strict=True)
    ]
    _assert_equal(together, whole)


def test_mirrored_replicas_get_the_slices_in_order(split):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    distributed = iter(
        strategy.distribute_datasets_from_function(
            lambda context: training_batches(
                split,
                AUGMENTED,
                batch_size=4,
                seed=0,
                start_step=0,
                mean_pixel=MEAN,
                parts=context.num_replicas_in_sync,
            )
        )
    )
    for images, masks in _batches(split, 5, data=AUGMENTED):
        got = next(distributed)
        for part, want in zip(got, (images, masks), strict=True):
            local = strategy.experimental_local_results(part)
            np.testing.assert_array_equal(np.concatenate(local), want)


def test_no_size_of_a_training_batch_is_open(split):
    """A TPU compiles for one size only."""
    dataset = training_batches(
        split, AUGMENTED, batch_size=8, seed=0, start_step=0, mean_pixel=MEAN, num_shards=2, parts=2
    )
    side = AUGMENTED.crop_size
    image, mask = dataset.element_spec
    assert image.shape.as_list() == [2, side, side, 3] and image.dtype == tf.float32
    assert mask.shape.as_list() == [2, side, side] and mask.dtype == tf.uint8


def test_no_pipeline_has_a_tuner_that_its_end_would_wait_for(split):
    training = training_batches(
        split, DATA, batch_size=4, seed=0, start_step=0, mean_pixel=MEAN, parts=2
    )
    for dataset in (training, evaluation_images(split)):
        assert dataset.options().autotune.enabled is False


def test_a_wrong_count_of_examples_is_noticed(split):
    with pytest.raises(tf.errors.FailedPreconditionError, match="cardinality|contain"):
        _batches(SplitFiles(split.files, 12), 4)


def test_bad_input_is_refused_in_one_line(split):
    with pytest.raises(DeeplabError, match="no example"):
        _batches(SplitFiles([], 0), 1)
    with pytest.raises(DeeplabError, match="no example"):
        evaluation_images(SplitFiles([], 0))
    with pytest.raises(DeeplabError, match="multiple of 3, .* on all devices. Received: 4"):
        _batches(split, 1, num_shards=3)


def test_evaluation_yields_each_image_whole_and_in_order(split):
    rows = list(evaluation_images(split).as_numpy_iterator())
    assert [name.decode() for name, _, _ in rows] == [f"image{number}" for number in range(11)]
    for number, (_, image, mask) in enumerate(rows):
        assert image.shape == (8, 9 + number % 3, 3)
        assert image.dtype == mask.dtype == np.uint8
        assert (image[1:] == number).all()
        np.testing.assert_array_equal(mask, image[..., 0])
