"""Cityscapes in the folders of its unpacked archives: the 19 classes of the benchmark.

The masks are the publisher's `*_labelIds.png`; the label ids and colours are those of
cityscapesscripts/helpers/labels.py. Ids of no class of the benchmark, such as `parking` and
`trailer`, are void.

Tested in tests/data/sources/test_published.py.
"""

import dataclasses
from pathlib import Path

from deeplab_tf.data.sources.published import count_notes, find_root, pairs_of_split
from deeplab_tf.data.sources.source import Pair, Source
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOID, Classes, Color

LABELS: dict[int, tuple[str, Color]] = {
    7: ("road", (128, 64, 128)),
    8: ("sidewalk", (244, 35, 232)),
    11: ("building", (70, 70, 70)),
    12: ("wall", (102, 102, 156)),
    13: ("fence", (190, 153, 153)),
    17: ("pole", (153, 153, 153)),
    19: ("traffic light", (250, 170, 30)),
    20: ("traffic sign", (220, 220, 0)),
    21: ("vegetation", (107, 142, 35)),
    22: ("terrain", (152, 251, 152)),
    23: ("sky", (70, 130, 180)),
    24: ("person", (220, 20, 60)),
    25: ("rider", (255, 0, 0)),
    26: ("car", (0, 0, 142)),
    27: ("truck", (0, 0, 70)),
    28: ("bus", (0, 60, 100)),
    31: ("train", (0, 80, 100)),
    32: ("motorcycle", (0, 0, 230)),
    33: ("bicycle", (119, 11, 32)),
}
"""The name and the colour of each class of the benchmark, by label id."""

CITYSCAPES = Classes(
    dataset="cityscapes",
    names=tuple(name for name, _ in LABELS.values()),
    palette=tuple(color for _, color in LABELS.values()),
    void_color=(0, 0, 0),
)
COARSE = dataclasses.replace(CITYSCAPES, dataset="cityscapes_coarse")
FILE_VALUES = {**dict.fromkeys(range(34), VOID), **{label: i for i, label in enumerate(LABELS)}}

FINE_IMAGES = {"train": 2_975, "val": 500, "test": 1_525}
COARSE_IMAGES = {"train": 2_975, "val": 500, "train_extra": 19_998}


def cityscapes_source(root: str | Path) -> Source:
    """Returns the finely annotated images, with those of the splits train, val and test there are.

    The masks of the test set are not public: the publisher's files for it have void everywhere, and
    the masks may be missing.

    Args:
        root: the folder with `leftImg8bit` and `gtFine`, or a folder that holds it as `cityscapes`.

    Raises:
        DeeplabError: `root` is not such a folder, or has no image.
    """
    return _source(Path(root), CITYSCAPES, "gtFine", FINE_IMAGES)


def cityscapes_coarse_source(root: str | Path) -> Source:
    """Returns the coarsely annotated images: the splits train, val and train_extra.

    The images of train and val are those of the finely annotated set.

    Args:
        root: the folder with `leftImg8bit` and `gtCoarse`, or a folder that holds it as
            `cityscapes`.

    Raises:
        DeeplabError: `root` is not such a folder, or has no image.
    """
    return _source(Path(root), COARSE, "gtCoarse", COARSE_IMAGES)


def _source(root: Path, classes: Classes, kind: str, published: dict[str, int]) -> Source:
    folder = find_root(root, ("cityscapes",), ("leftImg8bit", kind))
    if folder is None:
        raise DeeplabError(
            f"source folder {root} has no leftImg8bit/ and {kind}/; unpack leftImg8bit_*.zip and "
            f"{kind}*.zip of Cityscapes into one folder"
        )
    splits: dict[str, list[Pair]] = {}
    notes: list[str] = []
    for split in published:
        pairs, lone = pairs_of_split(
            folder / "leftImg8bit" / split,
            folder / kind / split,
            ("_leftImg8bit.png", f"_{kind}_labelIds.png"),
            FILE_VALUES,
            needs_masks=split != "test",
        )
        notes += lone
        if pairs:
            splits[split] = pairs
    if not splits:
        raise DeeplabError(
            f"{folder / 'leftImg8bit'} has no image; there must be SPLIT/CITY/*_leftImg8bit.png in "
            f"a folder {', '.join(published)}"
        )
    return Source(classes, splits, (*notes, *count_notes(splits, published, "Cityscapes")))
