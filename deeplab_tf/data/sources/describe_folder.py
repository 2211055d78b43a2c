"""The proposal of a `dataset.json` for a folder of images and masks."""

import collections
import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from deeplab_tf.data.sources.folder import (
    DESCRIPTION_FILE,
    Description,
    files_by_stem,
    folder_source,
    without_suffix,
)
from deeplab_tf.data.sources.known import DATA_SETS
from deeplab_tf.data.sources.masks import color_name, read_mask_pixels, unpack_color
from deeplab_tf.data.sources.source import read_list
from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import write_text
from deeplab_tf.images.bands import bands_and_bits
from deeplab_tf.images.classes import VOID
from deeplab_tf.images.suffixes import IMAGE_SUFFIXES
from deeplab_tf.parallel import in_processes
from deeplab_tf.text_table import align

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages", "photos", "rgb")
MASK_FOLDERS = (
    "masks", "mask", "labels", "label", "annotations", "segmentationclass", "gt", "groundtruth",
    "ground_truth", "targets",
)  # fmt: skip
SPLITS = ("train", "trainval", "val", "valid", "validation", "test")
VAL_SHARE = 0.1
MAX_FOUND = 4096
"""The largest number of values or colours in one mask; a file with more is not a mask."""
RARE = 0.0005
"""A share of all pixels; colours with a smaller share are what smoothing leaves along outlines."""

Meaning = str
"""The meaning of 255 in masks that have only 0 and 255: `class` or `void`."""


@dataclasses.dataclass(frozen=True)
class MaskPixels:
    """The values or colours in one mask.

    Attributes:
        kind: `palette` or `grey` for a mask of values, `color` for a mask of colours.
        counts: the number of pixels for each value, or for each colour as 0xRRGGBB.
        palette: for a palette PNG, the colour of each value as 0xRRGGBB; otherwise empty.
    """

    kind: str
    counts: dict[int, int]
    palette: dict[int, int]


@dataclasses.dataclass(frozen=True)
class Proposal:
    """The proposed content of a `dataset.json`.

    Attributes:
        description: the proposed content.
        seen: a text for the user that says what is in the masks and what each value is taken for.
    """

    description: Description
    seen: str


def write_description(root: Path, ask: Callable[[], Meaning | None], name: str | None) -> Proposal:
    """Writes `root/dataset.json` according to the files in the folder.

    Args:
        root: the folder that has a folder of images and a folder of masks.
        ask: a function that returns the meaning of 255, or None where the meaning is not known;
            `ask` is called only where the masks have no values but 0 and 255.
        name: the name of the data set; None derives one from the folder's name.

    Returns:
        The content that was written, with a text for the user.

    Raises:
        DeeplabError: `dataset.json` exists already, or the files do not show how the data set is
            made.
    """
    file = root / DESCRIPTION_FILE
    if file.exists():
        raise DeeplabError(
            f"{file} exists already; change the file by hand, or remove the file first"
        )
    proposal = propose(root, ask, name)
    fields = proposal.description.model_dump(exclude_defaults=True)
    write_text(file, json.dumps(fields, indent=2) + "\n")
    folder_source(root)  # raises an error where the proposed description cannot be read
    return proposal


def propose(root: Path, ask: Callable[[], Meaning | None], name: str | None) -> Proposal:
    """Returns the proposal that `write_description` writes; the arguments are the same.

    Raises:
        DeeplabError: the files do not show how the data set is made.
    """
    if not root.is_dir():
        raise DeeplabError(f"source folder {root} does not exist; give the folder of your data set")
    images = _find_folder(root, IMAGE_FOLDERS, "images")
    masks = _find_folder(root, MASK_FOLDERS, "masks")
    image_files = files_by_stem(images, IMAGE_SUFFIXES)
    if not image_files:
        raise DeeplabError(f"{images} has no image ({', '.join(IMAGE_SUFFIXES)})")
    mask_files = _mask_files(masks)
    suffix = _mask_suffix(image_files, mask_files, images, masks)
    paired = [file for stem, file in mask_files.items() if stem.removesuffix(suffix) in image_files]
    found = list(in_processes(look_at_mask, paired))
    kind = _one_kind(paired, found)
    counts, images_with = collections.Counter(), collections.Counter()
    for mask in found:
        counts.update(mask.counts)
        images_with.update(mask.counts.keys())
    if kind == "color":
        fields = _colored(counts, masks, ask)
    else:
        fields = _numbered(counts, next((m.palette for m in found if m.palette), {}), masks, ask)
    bands, bits = bands_and_bits(next(iter(image_files.values())))
    description = Description(
        bands=bands,
        bits=bits,  # pyright: ignore[reportArgumentType]
        name=name or _name_of(root),
        images=images.name,
        masks=masks.name,
        mask_suffix=suffix,
        splits=_splits(root, images, masks, image_files),  # pyright: ignore[reportArgumentType]
        **fields,
    )
    return Proposal(
        description, _format_proposal(description, kind, counts, images_with, len(found))
    )


def look_at_mask(path: Path) -> MaskPixels:
    """Counts the values or colours of one mask.

    Raises:
        DeeplabError: the file is broken, or has more than `MAX_FOUND` values or colours.
    """
    kind, pixels, palette = read_mask_pixels(path)
    values, counts = np.unique(pixels, return_counts=True)
    if len(values) > MAX_FOUND:
        raise DeeplabError(
            f"mask {path} has {len(values):,} values or colours: it is no map of classes but a "
            "photograph, or was smoothed or saved as JPEG"
        )
    return MaskPixels(kind, dict(zip(values.tolist(), counts.tolist(), strict=True)), palette)


def _find_folder(root: Path, names: tuple[str, ...], what: str) -> Path:
    found = [p for p in sorted(root.iterdir()) if p.is_dir() and p.name.lower() in names]
    if len(found) == 1:
        return found[0]
    there = ", ".join(path.name for path in found) if found else "none"
    raise DeeplabError(
        f"{root} must have one folder of {what}, called {', '.join(names[:-1])} or {names[-1]}; "
        f"found: {there}"
    )


def _mask_files(masks: Path) -> dict[str, Path]:
    files = files_by_stem(masks, (".png",))
    if files:
        return files
    others = files_by_stem(masks, IMAGE_SUFFIXES)
    if not others:
        raise DeeplabError(f"{masks} has no PNG")
    first = next(iter(others.values()))
    reason = "JPEG changes labels; " if first.suffix.lower() in (".jpg", ".jpeg") else ""
    raise DeeplabError(
        f"mask {first} is no PNG: {reason}save the masks as PNG again from the original annotations"
    )


def _mask_suffix(images: dict, masks: dict, image_folder: Path, mask_folder: Path) -> str:
    """Returns the most frequent ending that a mask's name has after the image's name, as `_mask`.

    Args:
        images, masks: the files by name without suffix.
        image_folder, mask_folder: the folders, for the message of the error.

    Raises:
        DeeplabError: no mask's name begins with the name of an image.
    """
    endings = collections.Counter()
    for stem in masks:
        for cut in range(len(stem), 0, -1):
            if stem[:cut] in images:
                endings[stem[cut:]] += 1
                break
    if not endings:
        raise DeeplabError(
            f"no mask in {mask_folder} has the name of an image in {image_folder}, as "
            f"{next(iter(masks.values())).name} and {next(iter(images.values())).name} show; name "
            "each mask as its image"
        )
    return endings.most_common(1)[0][0]


def _one_kind(paths: list[Path], found: list[MaskPixels]) -> str:
    """Returns the kind of all masks: `palette`, `grey` or `color`.

    Palette PNGs and grey PNGs together count as `palette`, since both have numbers.

    Raises:
        DeeplabError: some masks have colours and others have numbers.
    """
    kinds = {mask.kind: path for path, mask in zip(paths, found, strict=True)}
    if "color" in kinds and len(kinds) > 1:
        other = next(path for kind, path in kinds.items() if kind != "color")
        raise DeeplabError(
            f"all masks must be of one kind. Received: {kinds['color']} with colours and {other} "
            "with numbers"
        )
    return "palette" if "palette" in kinds else next(iter(kinds))


def _numbered(
    counts: dict[int, int], palette: dict[int, int], masks: Path, ask: Callable[[], Meaning | None]
) -> dict:
    """Returns the fields of `Description` that name the classes, for masks of numbers."""
    values = sorted(counts)
    if values == [0, 255]:
        return _binary(("0", "255"), masks, ask)
    void = [255] if 255 in values else []
    classes = [value for value in values if value not in void]
    _check_count(len(classes), masks)
    names = [f"class_{value}" for value in classes]
    fields: dict = {"classes": names, "void": void}
    if classes != list(range(len(classes))):
        fields["labels"] = {str(v): name for v, name in zip(classes, names, strict=True)}
    colors = [palette.get(value) for value in classes]
    if palette and len({*colors}) == len(colors) and None not in colors:
        fields["palette"] = [color_name(unpack_color(c)) for c in colors if c is not None]
    return fields


def _colored(counts: dict[int, int], masks: Path, ask: Callable[[], Meaning | None]) -> dict:
    """Returns the fields of `Description` that name the classes, for masks of colours.

    The most frequent colour is the first class.
    """
    if set(counts) == {0x000000, 0xFFFFFF}:
        return _binary(("#000000", "#ffffff"), masks, ask)
    total = sum(counts.values())
    rare = [color for color, count in counts.items() if count < RARE * total]
    if len(rare) > 8 and len(rare) > 2 * (len(counts) - len(rare)):
        raise DeeplabError(
            f"the masks in {masks} have {len(counts):,} colours, {len(rare):,} of them in less "
            f"than {RARE:.2%} of the pixels: they were smoothed (resized, or drawn with soft "
            "edges); save them with one colour a class"
        )
    _check_count(len(counts), masks)
    colors = [color_name(unpack_color(c)) for c in sorted(counts, key=lambda c: (-counts[c], c))]
    names = [f"class_{index}" for index in range(len(colors))]
    return {"classes": names, "palette": colors, "labels": dict(zip(colors, names, strict=True))}


def _binary(keys: tuple[str, str], masks: Path, ask: Callable[[], Meaning | None]) -> dict:
    """Returns the fields of `Description` that name the classes, for masks of only 0 and 255.

    The value 255 is most often an object and sometimes void. The files do not say which, so the
    function calls `ask`.
    """
    meaning = ask()
    if meaning is None:
        raise DeeplabError(
            f"the masks in {masks} have only {keys[0]} and {keys[1]}, and {keys[1]} can be a class "
            "or void; give --meaning_of_255=class or --meaning_of_255=void"
        )
    if meaning == "class":
        names = ["background", "object"]
        return {"classes": names, "labels": dict(zip(keys, names, strict=True))}
    raise DeeplabError(
        f"with {keys[1]} as void the masks in {masks} have only one class, {keys[0]}, and a "
        f"training needs two; if the data set has more classes, write {DESCRIPTION_FILE} by hand"
    )


def _check_count(count: int, masks: Path) -> None:
    if not 2 <= count <= VOID:
        raise DeeplabError(
            f"the masks in {masks} have {count} values or colours that could be classes; there "
            f"must be 2 to {VOID}"
        )


def _splits(root: Path, images: Path, masks: Path, image_files: dict) -> dict:
    """Returns the field `splits` of `Description`.

    The splits are folders below both `images` and `masks` where such folders exist, otherwise files
    of ids, otherwise a share of the images for validation.
    """
    folders = [
        path.name
        for path in sorted(images.iterdir())
        if path.is_dir() and path.name.lower() in SPLITS and (masks / path.name).is_dir()
    ]
    if folders:
        return {name.lower(): name for name in folders}
    lists = {}
    for path in sorted(root.rglob("*.txt")):
        if path.stem.lower() not in SPLITS or path.stem.lower() in lists:
            continue
        names = [without_suffix(line) for line in read_list(path)]
        if names and all(name in image_files for name in names):
            lists[path.stem.lower()] = path.relative_to(root).as_posix()
    return {name: lists[name] for name in SPLITS if name in lists} or {"val_share": VAL_SHARE}


def _name_of(root: Path) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", root.resolve().name.lower()).strip("_")
    if not re.match("[a-z]", name) or name in DATA_SETS:
        name = f"own_{name}".rstrip("_")
    return name[:64]


def _format_proposal(
    description: Description,
    kind: str,
    counts: dict[int, int],
    images_with: dict[int, int],
    masks: int,
) -> str:
    """Returns a text with the kind of the masks and what each value or colour is taken for."""
    words = {"palette": "numbers, palette PNGs", "grey": "numbers, grey PNGs", "color": "colours"}
    total = sum(counts.values())
    names = {**dict(enumerate(description.classes)), VOID: "void"}
    targets = {value: names[target] for value, target in description.values().items()}
    rows = [["value" if kind != "color" else "colour", "pixels", "images", "taken for"]]
    for value in sorted(counts, key=lambda value: -counts[value]):
        key, shown = value, str(value)
        if kind == "color":
            key = unpack_color(value)
            shown = color_name(key)
        share = f"{counts[value] / total:.2%}"
        rows.append([shown, share, f"{images_with[value]:,}", targets[key]])
    splits = ", ".join(f"{name} {where}" for name, where in description.splits.items())
    images = ""
    if (description.bands, description.bits) != (3, 8):
        images = f"images of {description.bands} bands of {description.bits} bits; "
    return f"{images}{masks:,} masks of {words[kind]}; splits: {splits}\n\n{align(rows)}\n"
