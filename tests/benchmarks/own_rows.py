"""The row of configs/own.py that chooses for itself beside the hand-made row, on real sets.

    python tests/benchmarks/own_rows.py --out=runs/own_rows --sets=photos,animals,camvid

`photos` are 40 photos of cats, cats against all else; `animals` 100 photos of dogs or horses, both
against all else; both are of PASCAL VOC, and what is left of these photos is their split `val`.
`camvid` is CamVid at 480x360. The hand-made row is `configs/camvid.py:mobilenet_v2`, on each set;
both begin with the ImageNet MobileNetV2. The real data is read from the folder that
DEEPLAB_SHARED_DATA names. What is done is not done again, and a training that was stopped goes on.
"""

import argparse
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys

import numpy as np
from PIL import Image

from deeplab_tf.config import load_experiment
from deeplab_tf.text_table import align

SHARED = pathlib.Path(os.environ.get("DEEPLAB_SHARED_DATA", "../shared/data"))
VOC = SHARED / "VOCdevkit" / "VOC2012"
CAMVID = SHARED / "camvid"
CLASSIFIER = SHARED.parent / "models" / "tf2_mobilenet_v2_1.0_224_ptq.tflite"
CHOSEN_FROM = {"photos": ({"cat": 8}, 40), "animals": ({"dog": 12, "horse": 13}, 100)}
"""The classes of each set by their numbers in VOC, and how many photos are for training."""
ROWS = {"chosen": "configs/own.py:mobilenet_v2", "by hand": "configs/camvid.py:mobilenet_v2"}
SHOWN = ("crop_size", "batch_size", "steps", "base_learning_rate", "class_weights")


def main() -> None:
    """Prepares, trains, evaluates, and prints a line for each set and row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--sets", default="photos,animals,camvid")
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--table", action="store_true", help="only print what there is")
    arguments = parser.parse_args()
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    runs = [
        (name, row, out / f"{name}-{row.replace(' ', '_')}")
        for row in arguments.rows.split(",")
        for name in arguments.sets.split(",")
    ]
    if not arguments.table:
        for name in arguments.sets.split(","):
            prepare(name, out)
        for name, row, workdir in runs:
            train(name, row, workdir, out)
    print_table(sorted(run for run in runs if (run[2] / "eval.json").is_file()))


def prepare(name: str, out: pathlib.Path) -> None:
    """Writes the records of a set, and the weights to begin with by its images."""
    images = CAMVID / "train" / "*.png"
    if name in CHOSEN_FROM:
        folder = out / "sets" / name
        if not (folder / "dataset.json").is_file():
            write_folder(folder, name, *CHOSEN_FROM[name])
        command("prepare", "--dataset=folder", f"--source={folder}", f"--data_dir={out / 'data'}")
        images = folder / "images" / "train" / "*.jpg"
    else:
        command("prepare", "--dataset=camvid", f"--source={CAMVID}", f"--data_dir={out / 'data'}")
    weights = out / f"{name}.keras"
    if not weights.is_file():
        source = ("--source=tflite", f"--weights={CLASSIFIER}", f"--images={images}")
        command("import_weights", *source, f"--out={weights}")


def write_folder(folder: pathlib.Path, name: str, classes: dict[str, int], train: int) -> None:
    """Writes photos with one of the `classes` as a folder of one's own."""
    for part in ("images/train", "images/val", "masks/train", "masks/val"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    found = 0
    for photo in (VOC / "ImageSets/Segmentation/train.txt").read_text().split():
        mask = np.array(Image.open(VOC / "SegmentationClass" / f"{photo}.png"))
        if np.isin(mask, list(classes.values())).any():
            labels = np.where(mask == 255, 255, 0).astype(np.uint8)
            for label, number in enumerate(classes.values(), start=1):
                labels[mask == number] = label
            split = "train" if found < train else "val"
            Image.fromarray(labels).save(folder / "masks" / split / f"{photo}.png")
            shutil.copy(VOC / "JPEGImages" / f"{photo}.jpg", folder / "images" / split)
            found += 1
    description = {
        "name": name,
        "classes": ["other", *classes],
        "labels": {str(label): each for label, each in enumerate(["other", *classes])},
        "void": [255],
        "splits": {"train": "train", "val": "val"},
    }
    (folder / "dataset.json").write_text(json.dumps(description))


def train(name: str, row: str, workdir: pathlib.Path, out: pathlib.Path) -> None:
    """Trains and evaluates a row on a set, and notes the seconds of all cores that it took."""
    data = f"--data_dir={out / 'data'}"
    if not (workdir / "model.keras").is_file():
        before = cpu_seconds()
        command(
            *("train", f"--config={ROWS[row]}", f"--config.data.dataset={name}", data),
            *(f"--workdir={workdir}", f"--config.init_from={out / f'{name}.keras'}"),
        )
        (workdir / "cpu_seconds.txt").write_text(str(cpu_seconds() - before))
    if not (workdir / "eval.json").is_file():
        command("eval", f"--model={workdir}", data)


def command(binary: str, *flags: str) -> None:
    """Runs one of our binaries to its end, which must be a good one."""
    subprocess.run([sys.executable, "-m", f"deeplab_tf.cli.{binary}", *flags], check=True)


def cpu_seconds() -> float:
    """The seconds of all cores that the processes so far have taken."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def print_table(runs: list[tuple[str, str, pathlib.Path]]) -> None:
    """A line a run: what was chosen, and what came of it."""
    rows = [["set", "row", *(field.replace("_", " ") for field in SHOWN), "core min", "mean IoU"]]
    for name, row, workdir in runs:
        experiment = load_experiment(str(workdir / "config.json"))
        fields = vars(experiment.data) | vars(experiment.train)
        minutes = float((workdir / "cpu_seconds.txt").read_text()) / 60
        miou = json.loads((workdir / "eval.json").read_text())["mean_iou"]
        shown = [str(fields[field]) for field in SHOWN]
        rows.append([name, row, *shown, f"{minutes:.0f}", f"{100 * miou:.2f}"])
    print(align(rows))


if __name__ == "__main__":
    main()
