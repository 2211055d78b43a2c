"""PASCAL Context: VOC 2010 with every pixel annotated, in its 59 frequent classes.

The publisher's masks are `trainval/ID.mat` of 459 numbers, whose names are in the publisher's
labels.txt. The numbers of other classes than the 59 are void. PNGs in `SegmentationClassContext`
are read in the form of mmsegmentation's converter: n is the n-th of the 59 classes in the order of
their numbers, and 0 is void.

Tested in tests/data/sources/test_published.py.
"""

import re
from pathlib import Path

from deeplab_tf.data.sources.masks import IndexMask
from deeplab_tf.data.sources.published import count_notes
from deeplab_tf.data.sources.source import Pair, Source, check_ids, read_list
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOID, Classes, voc_palette

NUMBERS = {
    name: int(number)
    for entry in """
    2 aeroplane, 9 bag, 18 bed, 19 bedclothes, 22 bench, 23 bicycle, 25 bird, 31 boat, 33 book,
    34 bottle, 44 building, 45 bus, 46 cabinet, 59 car, 65 cat, 68 ceiling, 72 chair, 80 cloth,
    85 computer, 98 cow, 104 cup, 105 curtain, 113 dog, 115 door, 144 fence, 158 floor,
    159 flower, 162 food, 187 grass, 189 ground, 207 horse, 220 keyboard, 232 light,
    258 motorbike, 259 mountain, 260 mouse, 284 person, 295 plate, 296 platform,
    308 pottedplant, 324 road, 326 rock, 347 sheep, 349 shelves, 354 sidewalk, 355 sign, 360 sky,
    366 snow, 368 sofa, 397 table, 415 track, 416 train, 420 tree, 424 truck, 427 tvmonitor,
    440 wall, 445 water, 454 window, 458 wood
    """.split(",")
    for number, name in [entry.split()]
}
"""The publisher's number of each class, by name."""

# The publisher gives the classes no colours; VOC's colour map has one for each.
PASCAL_CONTEXT = Classes("pascal_context", tuple(NUMBERS), voc_palette(1 + len(NUMBERS))[1:])
MAT_VALUES = {**dict.fromkeys(range(460), VOID), **{n: i for i, n in enumerate(NUMBERS.values())}}
PNG_VALUES = {0: VOID, **{label + 1: label for label in range(len(NUMBERS))}}

IMAGES = {"train": 4_998, "val": 5_105}
LISTS = ("ImageSets/SegmentationContext", "ImageSets/Main")


def pascal_context_source(root: str | Path) -> Source:
    """Returns the splits train and val of VOC 2010's own lists.

    The masks are the publisher's MATLAB files where their folder exists, otherwise PNGs.

    Args:
        root: the folder VOC2010, VOCdevkit, or the folder that holds VOCdevkit; `trainval` with the
            MATLAB files is in one of these.

    Raises:
        DeeplabError: `root` is not such a folder, a list is missing, or a list has an id twice.
    """
    root = Path(root)
    folder = _find_voc2010(root)
    matlab = next((f for f in (folder, folder.parent, root) if (f / "trainval").is_dir()), None)
    pngs = folder / "SegmentationClassContext"
    if matlab is None and not pngs.is_dir():
        raise DeeplabError(
            f"source folder {root} has no trainval/ of MATLAB files and no {pngs}; unpack "
            f"trainval.tar.gz of PASCAL Context into {folder}"
        )
    masks, suffix, values = pngs, ".png", PNG_VALUES
    if matlab:
        masks, suffix, values = matlab / "trainval", ".mat", MAT_VALUES
    lists = next((folder / name for name in LISTS if (folder / name).is_dir()), folder / LISTS[-1])
    splits = {}
    for split in IMAGES:
        names = read_list(lists / f"{split}.txt")
        if not names:
            raise DeeplabError(f"{lists / f'{split}.txt'} lists no image; unpack VOC 2010 again")
        splits[split] = [
            Pair(
                name,
                folder / "JPEGImages" / f"{name}.jpg",
                IndexMask(masks / f"{name}{suffix}", values),
            )
            for name in names
        ]
        check_ids(splits[split], lists / f"{split}.txt")
    notes = count_notes(splits, IMAGES, "PASCAL Context")
    notes += _name_notes(matlab) if matlab else [f"numbers in {pngs} are read as mmsegmentation's"]
    return Source(PASCAL_CONTEXT, splits, tuple(notes))


def _find_voc2010(root: Path) -> Path:
    for folder in (root, root / "VOC2010", root / "VOCdevkit" / "VOC2010"):
        if (folder / "JPEGImages").is_dir():
            return folder
    raise DeeplabError(
        f"source folder {root} has no JPEGImages/, nor VOC2010/JPEGImages/; give the VOCdevkit of "
        "VOC 2010 with trainval/ of PASCAL Context inside"
    )


def _name_notes(folder: Path) -> list[str]:
    """Returns a note where the publisher's `labels.txt`, if it is there, has other names."""
    file = folder / "labels.txt"
    if not file.is_file():
        return []
    theirs = dict(re.findall(r"^(\d+): *(.*?) *$", "\n".join(read_list(file)), re.MULTILINE))
    other = [
        f"{number} {theirs.get(str(number))!r} instead of {name!r}"
        for name, number in NUMBERS.items()
        if str(theirs.get(str(number))).replace(" ", "").lower() != name
    ]
    return [f"{file} has other names than this reader: {', '.join(other)}"] if other else []
