"""Hard classes twice in each epoch: which records, in what order, resumed and refused."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.config import DataConfig
from deeplab_tf.data.duplicates import with_duplicates
from deeplab_tf.data.pipeline import evaluation_images, training_batches
from deeplab_tf.data.records import SplitFiles
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOC

BICYCLE, PERSON, CHAIR = 2, 15, 9
# The classes of each image's mask, by file; image i is of the colour i.
FILES = (
    ({0}, {0, BICYCLE}, {0, PERSON}),
    ({CHAIR, PERSON}, {0, 255}),
    ({0, CHAIR}, {PERSON}),
)
DATA = DataConfig(crop_size=4, min_scale=1.0, max_scale=1.0, shuffle_buffer=16)


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


@pytest.fixture
def split(tmp_path) -> SplitFiles:
    files, number = [], 0
    for index, images in enumerate(FILES):
        files.append(f"{tmp_path}/train-{index}.tfrecord")
        with tf.io.TFRecordWriter(files[-1]) as writer:
            for classes in images:
                image = np.full((4, 4, 3), number, np.uint8)
                mask = np.zeros((4, 4, 1), np.uint8)
                mask.flat[: len(classes)] = sorted(classes)
                mask.flat[len(classes) :] = min(classes)
                feature = {
                    "id": _bytes(str(number).encode()),
                    "image": _bytes(tf.io.encode_png(image).numpy()),
                    "mask": _bytes(tf.io.encode_png(mask).numpy()),
                }
                example = tf.train.Example(features=tf.train.Features(feature=feature))
                writer.write(example.SerializeToString())
                number += 1
    return SplitFiles(files, number)


def _numbers(split, steps, start_step=0):
    dataset = training_batches(
        split, DATA, batch_size=2, seed=0, start_step=start_step, mean_pixel=(0.0, 0.0, 0.0)
    )
    return [int(image[0, 0, 0]) for images, _ in dataset.take(steps) for image in images]


def test_images_with_a_hard_class_come_twice_in_each_epoch(split):
    doubled = with_duplicates(split, VOC, ("bicycle", "chair"))
    assert doubled.repeats == ((1, 2, 1), (2, 1), (2, 1))
    assert doubled.num_examples == 10
    numbers = _numbers(doubled, 10)
    for epoch in (numbers[:10], numbers[10:]):
        assert Counter(epoch) == {0: 1, 1: 2, 2: 1, 3: 2, 4: 1, 5: 2, 6: 1}
    assert numbers[:10] != numbers[10:]


def test_order_is_a_function_of_the_step(split):
    doubled = with_duplicates(split, VOC, ("bicycle", "chair"))
    whole = _numbers(doubled, 12)
    for start_step in (1, 5, 7):
        assert _numbers(doubled, 12 - start_step, start_step) == whole[2 * start_step :]


def test_without_classes_nothing_is_read(split):
    missing = dataclasses.replace(split, files=["nothing"])
    assert with_duplicates(missing, VOC, ()) is missing


def test_evaluation_sees_each_image_once(split):
    doubled = with_duplicates(split, VOC, ("bicycle",))
    assert sum(1 for _ in evaluation_images(doubled)) == 7


def test_an_unknown_class_is_named(split):
    with pytest.raises(DeeplabError, match="duplicate_classes has table, but the classes of voc"):
        with_duplicates(split, VOC, ("chair", "table"))
