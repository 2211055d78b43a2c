"""PASCAL VOC 2012 segmentation, in the folders of the unpacked VOCdevkit archive."""

from pathlib import Path

from deeplab_tf.data.sources.masks import IndexMask, plain_values
from deeplab_tf.data.sources.source import Pair, Source, check_ids, check_split_name, read_list
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOC, VOID, Classes

LISTS = Path("ImageSets", "Segmentation")


def voc_source(root: str | Path, classes: Classes = VOC) -> Source:
    """Returns the data set in a VOCdevkit, with one split for each list in ImageSets/Segmentation.

    The images of the split `test` need no masks.

    Args:
        root: VOCdevkit, the folder that holds VOCdevkit, or VOC2012 itself.
        classes: the classes, where another data set has the folders of VOC.

    Raises:
        DeeplabError: there are no lists with masks, or a list has an id twice.
    """
    folder = find_voc_folder(Path(root))
    values = plain_values(classes.num_classes, VOID)
    splits, notes = {}, []
    for listed_in in sorted((folder / LISTS).glob("*.txt")):
        pairs = [_pair(folder, name, listed_in, values) for name in read_list(listed_in)]
        if not pairs:
            notes.append(f"{listed_in} is empty and was skipped")
            continue
        check_split_name(listed_in.stem, listed_in)
        check_ids(pairs, listed_in)
        splits[listed_in.stem] = pairs
    if not any(pair.mask for pairs in splits.values() for pair in pairs):
        raise DeeplabError(f"no list of images with masks in {folder / LISTS}; add a train.txt")
    return Source(classes, splits, notes=tuple(notes))


def find_voc_folder(root: Path) -> Path:
    """Returns the folder VOC2012 in or at `root`; raises `DeeplabError` where there is none."""
    if not root.is_dir():
        raise DeeplabError(f"source folder {root} does not exist; give the unpacked VOCdevkit")
    for folder in (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"):
        if (folder / LISTS).is_dir():
            return folder
    raise DeeplabError(
        f"source folder {root} has no {LISTS}, nor VOC2012/{LISTS}; give the VOCdevkit folder as "
        f"its archive unpacks it"
    )


def _pair(folder: Path, name: str, listed_in: Path, values: dict[int, int]) -> Pair:
    mask = folder / "SegmentationClass" / f"{name}.png"
    # Only VOC's test server has the masks of the test set, so a test image needs none.
    without = listed_in.stem == "test" and not mask.is_file()
    image = folder / "JPEGImages" / f"{name}.jpg"
    return Pair(name, image, None if without else IndexMask(mask, values))
