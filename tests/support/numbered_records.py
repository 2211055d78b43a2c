"""Record files of images that show their own number, with masks of given classes."""

import numpy as np
import tensorflow as tf

from deeplab_tf.data.records import SplitFiles
from support.tiny_records import record, write_shard

SIDE = 4


def write_numbered(folder, files, first=0, name="train"):
    """Writes one file for each of `files`, a list of sets of classes, one set an image.

    Image n, counted from `first` on over all files, has the value n in every pixel.
    """
    paths, number = [], first
    for index, images in enumerate(files):
        records = []
        for classes in images:
            pixels = np.full((SIDE, SIDE, 3), number, np.uint8)
            mask = np.resize(sorted(classes), (SIDE, SIDE)).astype(np.uint8)
            records.append(record(str(number), tf.io.encode_png(pixels).numpy(), mask))
            number += 1
        paths.append(write_shard(folder / f"{name}-{index}.tfrecord", *records))
    return SplitFiles(paths, number - first)


def numbers_of(batches):
    """The numbers of the images in batches of (image, mask), in order."""
    return [int(image[0, 0, 0]) for images, _ in batches for image in images]
