"""VOC's trainaug set: VOC 2012 and the masks of SBD (section 4: 10,582 training images)."""

import dataclasses
import hashlib
from pathlib import Path

from deeplab_tf.data.sources.masks import IndexMask, plain_values
from deeplab_tf.data.sources.source import Pair, Source, check_split_name, read_list
from deeplab_tf.data.sources.voc import LISTS, find_voc_folder
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOC, VOID

FILE_VALUES = plain_values(VOC.num_classes, VOID)
VOC_AUG = dataclasses.replace(VOC, dataset="voc_aug")

# The splits on which results are published: the number of images in each, and the sha256 of the
# sorted ids, one on each line.
PUBLISHED = {
    "trainaug": (10_582, "d1326bd532648d73bc4b1bd275434eba81930982dc7401a65a8cecb26c028e24"),
    "val": (1_449, "cdc1326d12f69ce5153aa5da04a4d8783e146868d42d19f82f44e74b97ac907d"),
}


def voc_aug_source(root: str | Path) -> Source:
    """Returns the split `trainaug` and the splits of VOC's own lists: train, val, trainval, test.

    The split trainaug has the images of VOC train, SBD train and SBD val, without those of VOC val.
    The mask of an image is VOC's own where VOC has one, otherwise SBD's. The function accepts an
    incomplete copy of the data set; `notes` say what is missing.

    Args:
        root: the folder that holds the unpacked archives of VOC and SBD: `VOCdevkit/VOC2012` and
            `benchmark_RELEASE/dataset`.

    Raises:
        DeeplabError: one of the two folders or a list is missing, or no image of trainaug has both
            files.
    """
    root = Path(root)
    voc, sbd = find_voc_folder(root), _find_sbd(root)
    lists = {
        name: read_list(voc / LISTS / f"{name}.txt")
        for name in ("train", "val", "trainval", "test")
        # trainaug is made of the lists train and val, so `read_list` must raise an error where one
        # of the two is missing.
        if name in ("train", "val") or (voc / LISTS / f"{name}.txt").is_file()
    }
    union = {*lists["train"], *read_list(sbd / "train.txt"), *read_list(sbd / "val.txt")}
    lists = {"trainaug": sorted(union - set(lists["val"])), **lists}

    splits, notes = {}, []
    for split, names in lists.items():
        check_split_name(split, voc / LISTS)
        pairs = [_pair(voc, sbd, name, split) for name in names]
        missing = [name for name, pair in zip(names, pairs, strict=True) if pair is None]
        splits[split] = [pair for pair in pairs if pair is not None]
        if missing:
            notes.append(
                f"{split}: {len(missing):,} of the {len(names):,} listed names have no image or no "
                f"mask and were left out; the first is {missing[0]}"
            )
    notes += [
        f"{split}: the lists give {len(lists[split]):,} images that are not the {count:,} on which "
        "results are published"
        for split, (count, digest) in PUBLISHED.items()
        if _digest(lists[split]) != digest
    ]
    if not splits["trainaug"]:
        raise DeeplabError(
            f"no name of trainaug has both an image and a mask in {voc} and {sbd}; unpack VOC and "
            "SBD again"
        )
    splits = {name: pairs for name, pairs in splits.items() if pairs}
    return Source(VOC_AUG, splits, notes=tuple(notes))


def _find_sbd(root: Path) -> Path:
    for folder in (root, root / "SBD", root / "benchmark"):
        for dataset in (folder / "dataset", folder / "benchmark_RELEASE" / "dataset"):
            if (dataset / "cls").is_dir():
                return dataset
    raise DeeplabError(
        f"source folder {root} has no benchmark_RELEASE/dataset/cls; unpack SBD's benchmark.tgz in "
        "the folder that has VOCdevkit"
    )


def _pair(voc: Path, sbd: Path, name: str, split: str) -> Pair | None:
    """Returns the image with VOC's own mask, or with SBD's where VOC has none.

    The function returns None where the image or, in another split than `test`, the mask is missing.
    """
    images = (voc / "JPEGImages" / f"{name}.jpg", sbd / "img" / f"{name}.jpg")
    masks = (voc / "SegmentationClass" / f"{name}.png", sbd / "cls" / f"{name}.mat")
    image = next((path for path in images if path.is_file()), None)
    mask = next((path for path in masks if path.is_file()), None)
    # Only VOC's test server has the masks of the test set, so a test image needs none.
    if image is None or (mask is None and split != "test"):
        return None
    return Pair(name, image, None if mask is None else IndexMask(mask, FILE_VALUES))


def _digest(names: list[str]) -> str:
    return hashlib.sha256("".join(f"{name}\n" for name in sorted(names)).encode()).hexdigest()
