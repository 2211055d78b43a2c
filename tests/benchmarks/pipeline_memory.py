"""Whether the training input's memory stays flat over many steps.

    python tests/benchmarks/pipeline_memory.py --data_dir=DIR --dataset=voc --steps=10000

Prints the resident memory as it goes. Fails if the highest of the last half lies more than
`--allowed_mb` above the highest of the second quarter, when every buffer has long been full.
`--images=1` reads a split of only the first image, of which each step of 16 is 16 epochs.
"""

import os
import tempfile

from absl import app, flags

DATA_DIR = flags.DEFINE_string("data_dir", None, "folder that deeplab-prepare wrote", required=True)
DATASET = flags.DEFINE_string("dataset", "voc", "name of the data set")
SPLIT = flags.DEFINE_string("split", "train", "the split to read")
IMAGES = flags.DEFINE_integer("images", None, "read the first images alone", lower_bound=1)
CROP = flags.DEFINE_integer("crop_size", 513, "side of the crop in pixels", lower_bound=1)
BATCH = flags.DEFINE_integer("batch_size", 1, "images a batch", lower_bound=1)
STEPS = flags.DEFINE_integer("steps", 10_000, "batches to read", lower_bound=100)
ALLOWED = flags.DEFINE_float("allowed_mb", 10, "MB that the last half may lie higher")


def main(_) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    from deeplab_tf.config import DataConfig, ModelConfig
    from deeplab_tf.data.pipeline import training_batches
    from deeplab_tf.data.records import SplitFiles, open_records

    split = open_records(DATA_DIR.value, DATASET.value).split(SPLIT.value)
    with tempfile.TemporaryDirectory() as folder:
        if IMAGES.value is not None:
            records = list(tf.data.TFRecordDataset(split.files).take(IMAGES.value))
            with tf.io.TFRecordWriter(f"{folder}/first.tfrecord") as writer:
                for record in records:
                    writer.write(record.numpy())
            split = SplitFiles([f"{folder}/first.tfrecord"], len(records))
        batches = training_batches(
            split,
            DataConfig(crop_size=CROP.value),
            batch_size=BATCH.value,
            seed=0,
            start_step=0,
            mean_pixel=ModelConfig().input_format.mean,
        )
        resident = _watch(batches)
    epochs = STEPS.value * BATCH.value // split.num_examples
    quarter, half = len(resident) // 4, len(resident) // 2
    growth = max(resident[half:]) - max(resident[quarter:half])
    print(f"{STEPS.value} steps, {epochs} epochs: the last half {growth:+.1f} MB")
    if growth > ALLOWED.value:
        raise SystemExit(f"memory grows: more than {ALLOWED.value:g} MB")


def _watch(batches) -> list[float]:
    """Resident MB after each hundredth of the steps."""
    resident, every = [], STEPS.value // 100
    for step, _ in enumerate(batches.take(STEPS.value), 1):
        if step % every == 0:
            resident.append(resident_mb())
            if len(resident) % 10 == 0:
                print(f"step {step:>6}: {resident[-1]:.1f} MB", flush=True)
    return resident


def resident_mb() -> float:
    """This process's memory that lies in RAM (Linux)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    app.run(main)
