"""Our half of beside_torchvision.py, in our environment: the pipeline, or some crops of it.

python tests/benchmarks/our_side.py DATA_DIR CROP BATCH plain|augmented   serves
python tests/benchmarks/our_side.py DATA_DIR CROP BATCH FILE.npz          writes crops to compare
"""

import dataclasses
import os
import sys

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf
from serve import serve

from deeplab_tf.config import DataConfig, ModelConfig
from deeplab_tf.data.augment import crop_by
from deeplab_tf.data.geometry import sample_geometry
from deeplab_tf.data.pipeline import training_batches
from deeplab_tf.data.records import SplitFiles, open_records, parse_record

MEAN = ModelConfig().input_format.mean
COMPARED = 40
AUGMENTATIONS = {
    "rotation": 10.0,
    "brightness": 0.125,
    "contrast": 0.5,
    "saturation": 0.5,
    "hue": 0.1,
    "grey": 0.1,
    "blur": 1.5,
    "noise": 0.04,
    "jpeg_quality": 40,
    "cut_out": 0.5,
}
"""The same set as that of torchvision_side.py."""


def main() -> None:
    data_dir, crop, batch_size, way = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    split = open_records(data_dir, "voc").split("train")
    data = DataConfig(crop_size=crop)
    if way.endswith(".npz"):
        _write_crops(split, data, way)
        return
    if way == "augmented":
        data = dataclasses.replace(data, **AUGMENTATIONS)
    batches = training_batches(
        split, data, batch_size=batch_size, seed=0, start_step=0, mean_pixel=MEAN
    )
    iterator = iter(batches)
    serve(lambda: next(iterator), batch_size)


def _write_crops(split: SplitFiles, data: DataConfig, path: str) -> None:
    """An .npz of `COMPARED` crops and, of each, the image's id and what was drawn."""
    rows = []
    for index, record in enumerate(tf.data.TFRecordDataset(split.files).take(COMPARED)):
        fields = parse_record(record)
        seed = tf.constant([0, index], tf.int64)
        source = tf.shape(fields["mask"], out_type=tf.int64)
        drawn = sample_geometry(source, seed, data)
        image, mask = crop_by(drawn, fields["image"], fields["mask"], data, MEAN)
        rows.append([np.asarray(x) for x in (fields["id"].numpy().decode(), *drawn, image, mask)])
    names = ("id", "size", "offset", "flip", "image", "mask")
    columns = zip(*rows, strict=True)
    np.savez(path, **{name: np.stack(x) for name, x in zip(names, columns, strict=True)})


if __name__ == "__main__":
    main()
