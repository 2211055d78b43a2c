"""Records as `deeplab-prepare` writes them, one by one, for tests to break."""

import pathlib

import numpy as np
import tensorflow as tf

from deeplab_tf.images.files import encode_png


def record(name: str, image: bytes, mask: np.ndarray | None = None) -> bytes:
    """A serialized record of an encoded image and its mask, by default 20x30 of class 0."""
    mask = np.zeros((20, 30), np.uint8) if mask is None else mask
    values = {"id": name.encode(), "image": image, "mask": encode_png(mask)}
    features = {
        key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        for key, value in values.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def write_shard(path: pathlib.Path, *records: bytes) -> str:
    """Writes a record file; returns its path."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for content in records:
            writer.write(content)
    return str(path)
