"""What each reader of a labelling tool's export finds, and the data set made of it."""

import collections
import dataclasses
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from deeplab_tf.data.sources.choices import Choices
from deeplab_tf.data.sources.find_images import ImageFinder
from deeplab_tf.data.sources.folder import validation_part
from deeplab_tf.data.sources.known import DATA_SETS, data_set_name
from deeplab_tf.data.sources.masks import Mask, unpack_color
from deeplab_tf.data.sources.painted import OnTop, PaintedMask, Region, Shape
from deeplab_tf.data.sources.rasterise import require_pycocotools
from deeplab_tf.data.sources.source import Pair, Source, check_ids, check_split_name
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.images.classes import VOID, Classes, Color, voc_palette

VAL_SHARE = 0.1
SPLITS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
"""The name of a split in the records for each name that tools give it."""
BACKGROUND = ("background", "_background_", "__background__")
"""Names, in small letters, of a class that is the background."""


@dataclasses.dataclass(frozen=True)
class LabelledImage:
    """One image of an export.

    Attributes:
        id: the name of the image, unique in its split.
        image: the image file.
        where: the place of the annotation, for messages.
        shapes: for each region the name of its class and the shape, in the tool's order. A region
            without a class is a crowd: void, whatever else is there.
        size: height and width as the tool states them; None where the tool does not.
        split: the tool's name for the split; None where the tool has no splits.
        problem: why the tool's file is wrong for this image; None where it is right.
    """

    id: str
    image: Path
    where: str
    shapes: Sequence[tuple[str | None, Shape]]
    size: tuple[int, int] | None = None
    split: str | None = None
    problem: str | None = None


@dataclasses.dataclass
class Labelled:
    """The content of a labelling tool's export.

    Attributes:
        classes: each class with the tool's colour for it, or None; in the order of the tool.
        images: the images.
        on_top: the tool's own rule for overlapping regions.
        notes: lines for the user that say what was left out and why.
        void: the classes that the tool itself says are not to count.
    """

    classes: dict[str, Color | None]
    images: list[LabelledImage]
    on_top: OnTop
    notes: list[str] = dataclasses.field(default_factory=list)
    void: tuple[str, ...] = ()


def labelled_source(root: Path, labelled: Labelled, choices: Choices) -> Source:
    """Returns the data set of an export whose regions are painted.

    Raises:
        DeeplabError: a class is unknown or there are too few, an id comes twice in a split, no
            image is left, or pycocotools is not installed.
    """
    require_pycocotools()
    wrong = next((each for each in labelled.images if each.problem), None)
    if wrong and not labelled.classes:
        raise DeeplabError(f"mask {wrong.where} cannot be drawn: {wrong.problem}")
    classes, labels = number_classes(root, labelled.classes, choices, labelled.void)
    notes = list(labelled.notes)
    blank = [each for each in labelled.images if not each.shapes and not each.problem]
    images = labelled.images
    if choices.unlabelled == "skip":
        images = [each for each in images if each.shapes or each.problem]
        notes += counted(blank, "images have no region and were left out")
    else:
        notes += counted(
            blank,
            "images have no region and are background everywhere (--unlabelled=skip leaves them "
            "out)",
        )
    on_top = choices.on_top or labelled.on_top
    if len(blank) == len(labelled.images):
        raise DeeplabError(
            f"none of the {len(blank):,} images of {root} has a region; look whether the labels "
            "lie where the export says"
        )
    by_split, annotated = collections.defaultdict(list), {}
    for each in images:
        twice = annotated.setdefault(each.image, each.where)
        if twice != each.where:
            raise DeeplabError(
                f"image {each.image} is annotated twice, by {twice} and {each.where}; keep one"
            )
        pair = Pair(each.id, each.image, _painted(each, labels, on_top))
        by_split[each.split].append(pair)
    return export_source(root, classes, by_split, notes)


def export_source(
    root: Path, classes: Classes, by_split: dict[str | None, list[Pair]], notes: list[str]
) -> Source:
    """Returns the data set of the pairs in a tool's splits, with a split for validation.

    Raises:
        DeeplabError: no image is left, an id comes twice in a split, or the name of a split cannot
            be one.
    """
    splits, more = find_splits(by_split)
    if not splits:
        raise DeeplabError(f"no labelled image is left in {root}; label some, and export again")
    for split, pairs in splits.items():
        check_split_name(split, root)
        check_ids(pairs, root)
    return Source(classes, splits, notes=(*notes, *more))


def number_classes(
    root: Path, given: dict[str, Color | None], choices: Choices, void: Iterable[str] = ()
) -> tuple[Classes, dict[str, int]]:
    """Returns the classes of an export, and the class id or `VOID` for each of the tool's names.

    Class 0 is the background; one is added where the tool has none. The colours are the tool's
    where all classes have different ones, otherwise those of VOC.

    Raises:
        DeeplabError: `--void` names no class, `--name` is none, or there is no class or there are
            too many.
    """
    name = choices.name or data_set_name(root)
    if not re.fullmatch("[a-z][a-z0-9_]{0,63}", name) or name in DATA_SETS:
        raise DeeplabError(
            f"--name must be small letters, digits and _, and no other data set's. Received: "
            f"{name!r}"
        )
    if "" in given:
        raise DeeplabError(f"a class of {root} has no name; give it one in the tool")
    unknown = sorted(set(choices.void) - given.keys())
    if unknown:
        raise DeeplabError(
            f"--void names {unknown[0]!r}, which is no class of {root}; the classes are "
            f"{', '.join(given)}"
        )
    ignored = {*choices.void, *void}
    kept = {name: color for name, color in given.items() if name not in ignored}
    background = [name for name in kept if name.lower() in BACKGROUND]
    names = ["background", *(name for name in kept if name not in background)]
    if not 2 <= len(names) <= VOID:
        raise DeeplabError(
            f"{root} has {len(names) - 1} classes besides background; there must be 1 to {VOID - 1}"
        )
    first = kept[background[0]] if background else None
    colors = [first or (0, 0, 0), *(kept[name] for name in names[1:])]
    chosen = [color for color in colors if color is not None]
    if len(set(chosen)) < len(names):
        chosen = voc_palette(len(names))
    labels = {name: VOID for name in ignored} | {name: id_ for id_, name in enumerate(names)}
    labels |= dict.fromkeys(background, 0)
    return Classes(name, tuple(names), tuple(chosen)), labels


def find_splits(
    by_split: dict[str | None, list[Pair]],
) -> tuple[dict[str, list[Pair]], list[str]]:
    """Returns the splits train, val and test of an export, and notes on how they were made.

    The tool's splits keep their images; `valid` and `validation` become val. Names of which none
    is a split, such as `default`, are taken together as train. Where train has no val beside it, a
    tenth of its images, chosen by their names, becomes val: at least one of two.
    """
    filled = {name: pairs for name, pairs in by_split.items() if pairs}
    known = {name for name in filled if (name or "").lower() in SPLITS}
    splits = collections.defaultdict(list)
    for name, pairs in filled.items():
        text = (name or "train").lower()
        splits[SPLITS.get(text, text if known else "train")] += pairs
    if "train" not in splits or "val" in splits or len(splits["train"]) < 2:
        return dict(splits), []
    pairs = splits["train"]
    held = validation_part([pair.id for pair in pairs], VAL_SHARE)
    train = [pair for pair in pairs if pair.id not in held]
    val = [pair for pair in pairs if pair.id in held]
    if not train:  # every image has the same id, which `check_ids` reports
        return dict(splits), []
    note = (
        f"the export has no split for validation, so {len(val):,} of {len(pairs):,} images, chosen "
        "by their names, are val"
    )
    return {"train": train, "val": val, **{n: p for n, p in splits.items() if n != "train"}}, [note]


def counted(items: Sequence[LabelledImage | Path | str], what: str) -> list[str]:
    """Returns one line with the number of items, `what` and the first item; none where it is 0."""
    if not items:
        return []
    first = items[0].image if isinstance(items[0], LabelledImage) else items[0]
    return [f"{len(items):,} {what}; the first is {first}"]


def unlisted(finder: ImageFinder, images: Sequence[LabelledImage], what: str) -> list[str]:
    """Returns the line of `counted` about the files of the export that are none of `images`."""
    known = {each.image for each in images}
    return counted([path for path in finder.files if path not in known], what)


def split_of(root: Path, file: Path) -> str | None:
    """Returns the folder on the way from `root` to a file that has the name of a split, or None."""
    folders = file.relative_to(root).parts[:-1]
    return next((folder for folder in folders if folder.lower() in SPLITS), None)


def hex_color(text: str | None) -> Color | None:
    """Returns the colour of a text such as `#804080`; None where a tool wrote no colour."""
    if not re.fullmatch("#[0-9a-fA-F]{6}", text or ""):
        return None
    return unpack_color(int((text or "")[1:], 16))


def fault(error: Exception) -> str:
    """Returns the words for an error that a malformed shape raised in a reader, on one line."""
    text = one_line(str(error))[:200]
    return f"{text} is missing" if isinstance(error, KeyError) else text


def _painted(each: LabelledImage, labels: dict[str, int], on_top: OnTop) -> Mask:
    problem, regions = each.problem, []
    for number, (name, shape) in enumerate(each.shapes, 1):
        if name is None:
            regions.append(Region(VOID, f"region {number} (a crowd)", shape, crowd=True))
            continue
        if name not in labels:
            problem = problem or f"region {number} has the class {name!r}, which is not declared"
            continue
        regions.append(Region(labels[name], f"region {number} ({name})", shape))
    return PaintedMask(each.where, each.image, tuple(regions), on_top, each.size, problem)
