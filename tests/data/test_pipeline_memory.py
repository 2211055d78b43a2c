"""Memory over many epochs: each builds data sets of its own, which must go when it ends."""

import os

import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.config import DataConfig
from deeplab_tf.data.pipeline import training_batches
from deeplab_tf.data.records import SplitFiles

WARM_UP, STEPS, BATCH = 100, 300, 8
ALLOWED_MB = 10
"""It grew by 0.1 MB in each of two runs; 4 kB left behind by each epoch would be 10 MB."""


def _resident_mb() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads memory from /proc")
def test_memory_is_flat_over_2400_epochs_of_one_image(tmp_path):
    # tests/benchmarks/pipeline_memory.py does this for as many steps as a training has.
    pixels = np.random.default_rng(0).integers(0, 21, (20, 30, 3), np.uint8)
    example = tf.train.Example()
    encoded = {"image": tf.io.encode_png(pixels), "mask": tf.io.encode_png(pixels[..., :1])}
    for name, value in {"id": tf.constant("noise"), **encoded}.items():
        example.features.feature[name].bytes_list.value.append(value.numpy())
    path = f"{tmp_path}/one.tfrecord"
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(example.SerializeToString())

    batches = training_batches(
        SplitFiles([path], 1),
        DataConfig(crop_size=33),
        batch_size=BATCH,
        seed=0,
        start_step=0,
        mean_pixel=(123.0, 116.0, 103.0),
    )
    for step, _ in enumerate(batches.take(WARM_UP + STEPS), 1):
        if step == WARM_UP:
            before = _resident_mb()
    assert _resident_mb() - before < ALLOWED_MB
