"""Images a second that the training input alone delivers, and the time of its stages.

    python tests/benchmarks/pipeline.py --data_dir=DIR --dataset=voc

The first line is the whole pipeline on all cores: compare it with the training's own images/s. The
stages then run one image at a time; their CPU milliseconds are what one image costs one core. Those
"with" an augmentation are the crop of both with this augmentation at a usual strength.
"""

import dataclasses
import os
import time
from collections.abc import Callable

from absl import app, flags

DATA_DIR = flags.DEFINE_string("data_dir", None, "folder that deeplab-prepare wrote", required=True)
DATASET = flags.DEFINE_string("dataset", "voc", "name of the data set")
SPLIT = flags.DEFINE_string("split", "train", "the split to read")
CROP = flags.DEFINE_integer("crop_size", 513, "side of the crop in pixels", lower_bound=1)
BATCH = flags.DEFINE_integer("batch_size", 16, "images a batch", lower_bound=1)
SECONDS = flags.DEFINE_float("seconds", 10, "how long to measure the whole pipeline")
STAGE_IMAGES = flags.DEFINE_integer("stage_images", 200, "images for each stage", lower_bound=1)


def main(_) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf
    from our_side import AUGMENTATIONS

    from deeplab_tf.config import DataConfig, ModelConfig
    from deeplab_tf.config.image_format import RGB
    from deeplab_tf.data.pipeline import training_batches
    from deeplab_tf.data.records import decode, open_records, parse_encoded
    from deeplab_tf.data.training_example import make_example
    from deeplab_tf.machine.system import usable_cores

    split = open_records(DATA_DIR.value, DATASET.value).split(SPLIT.value)
    data = DataConfig(crop_size=CROP.value)
    mean = ModelConfig().input_format.mean
    batches = training_batches(
        split, data, batch_size=BATCH.value, seed=0, start_step=0, mean_pixel=mean
    )
    wall, cpu = _time_batches(batches)
    print(
        f"pipeline: {1 / wall:.0f} images/s at crop {CROP.value} on {usable_cores()} cores, "
        f"{1e3 * cpu:.2f} ms CPU an image ({split.num_examples} images in {len(split.files)} files)"
    )

    encoded = tf.data.TFRecordDataset(split.files).take(STAGE_IMAGES.value).map(parse_encoded)
    decoded = encoded.map(decode)

    def augmented_by(strengths: dict) -> Callable:
        changed = dataclasses.replace(data, **strengths)

        def stage(index: tf.Tensor, fields: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
            seed = tf.stack([tf.constant(0, tf.int64), index])
            return make_example(fields["image"], fields["mask"], seed, changed, RGB, mean)

        return stage

    augmented = augmented_by({})
    # TensorFlow leaves out what a stage does not return: the image's decoding, say.
    stages: dict[str, tuple[tf.data.Dataset, Callable]] = {
        "nothing": (encoded, lambda index, fields: index),
        "decode image": (encoded, lambda index, fields: decode(fields)["image"]),
        "decode mask": (encoded, lambda index, fields: decode(fields)["mask"]),
        "augment image": (decoded, lambda index, fields: augmented(index, fields)[0]),
        "augment mask": (decoded, lambda index, fields: augmented(index, fields)[1]),
        "augment both": (decoded, augmented),
    }
    for name, strength in AUGMENTATIONS.items():
        stages[f"with {name}"] = (decoded, augmented_by({name: strength}))
    stages["with all of them"] = (decoded, augmented_by(AUGMENTATIONS))
    for name, (examples, stage) in stages.items():
        print(f"{name:>17}: {1e3 * _time_stage(examples, stage):.2f} ms CPU an image")


def _time_batches(batches) -> tuple[float, float]:
    """Wall and CPU seconds an image, after two batches of warming up."""
    iterator = iter(batches)
    for _ in range(2):
        next(iterator)
    count, wall, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < SECONDS.value:
        next(iterator)
        count += BATCH.value
    return (time.perf_counter() - wall) / count, (time.process_time() - cpu) / count


def _time_stage(examples, stage: Callable) -> float:
    """CPU seconds that `stage(index, fields)` takes an example, the best of five passes."""
    import tensorflow as tf

    options = tf.data.Options()
    options.threading.max_intra_op_parallelism = 1
    # Otherwise TensorFlow runs the stage on more threads and ahead of the clock.
    options.experimental_optimization.map_parallelization = False
    options.experimental_optimization.inject_prefetch = False
    count = STAGE_IMAGES.value
    passes = examples.cache().repeat(6).enumerate().map(stage).with_options(options)
    iterator = iter(passes)
    times = []
    for _ in range(6):
        begin = time.process_time()
        for _ in range(count):
            next(iterator)
        times.append((time.process_time() - begin) / count)
    return min(times[1:])  # the first pass fills the cache


if __name__ == "__main__":
    app.run(main)
