"""The proposal of a `dataset.json` for a folder of images and masks."""

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pydantic

from deeplab_tf.data.sources.description import (
    DESCRIPTION_FILE,
    Description,
    Key,
    first_problem,
    key_name,
    key_of,
)
from deeplab_tf.data.sources.folder import described_source
from deeplab_tf.data.sources.folder_files import LIST_SUFFIXES, files_by_stem, read_pairs
from deeplab_tf.data.sources.folder_layout import Layout, find_layout
from deeplab_tf.data.sources.folder_naming import (
    Pattern,
    format_patterns,
    one_mask_an_image,
    patterns,
)
from deeplab_tf.data.sources.known import data_set_name
from deeplab_tf.data.sources.look_at_masks import MaskPixels, look_at_mask, look_at_masks
from deeplab_tf.data.sources.mask_files import TRANSPARENT
from deeplab_tf.data.sources.mask_meanings import Ask, edges_note, fields_of
from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import json_text, never, write_text
from deeplab_tf.images.bands import bands_and_bits
from deeplab_tf.images.classes import VOID
from deeplab_tf.images.suffixes import IMAGE_SUFFIXES, passed_over
from deeplab_tf.parallel import in_processes
from deeplab_tf.text_table import align

MOST_ROWS = 40
"""The largest number of values or colours that the text for the user lists."""


@dataclasses.dataclass(frozen=True)
class Proposal:
    """The proposed content of a `dataset.json`.

    Attributes:
        description: the proposed content.
        seen: a text for the user that says what is in the masks and what each value is taken for.
    """

    description: Description
    seen: str


def write_description(
    root: Path, ask: Ask, name: str | None, thresholds: Sequence[int] = ()
) -> Proposal:
    """Writes `root/dataset.json` according to the files in the folder.

    Args:
        root: the folder that has a folder of images and a folder of masks.
        ask: a function that returns the meaning of the largest value, `class` or `void`, or None
            where the meaning is not known; `ask` is called only where the masks leave it open.
        name: the name of the data set; None derives one from the folder's name.
        thresholds: the first value of the second class, of the third class and so on; empty where
            each value in the masks is a class.

    Returns:
        The content that was written, with a text for the user.

    Raises:
        DeeplabError: `dataset.json` exists already, or the files do not show how the data set is
            made. Nothing is written then.
    """
    file = root / DESCRIPTION_FILE
    if file.exists():
        raise DeeplabError(
            f"{file} exists already; change the file by hand, or remove the file first"
        )
    proposal = propose(root, ask, name, thresholds)
    fields = proposal.description.model_dump(exclude_defaults=True)
    write_text(file, json_text(fields), never)
    return proposal


def propose(root: Path, ask: Ask, name: str | None, thresholds: Sequence[int] = ()) -> Proposal:
    """Returns the proposal that `write_description` writes; the arguments are the same.

    Raises:
        DeeplabError: the files do not show how the data set is made.
    """
    if not root.is_dir():
        raise DeeplabError(f"source folder {root} does not exist; give the folder of your data set")
    layout = find_layout(root)
    images, masks = _files(root, layout.images, layout), _files(root, layout.masks, layout)
    if not images:
        others = passed_over(path for path in (root / layout.images).rglob("*") if path.is_file())
        raise DeeplabError(
            f"{root / layout.images} has no image ({', '.join(IMAGE_SUFFIXES)})"
            + (f"; {others}" if others else "")
        )
    if not masks:
        raise DeeplabError(f"{root / layout.masks} has no mask; save the masks as PNG")
    naming, paths = _naming(root, layout, images, masks)
    if isinstance(naming, Pattern):
        pixels = look_at_masks(paths)
        fields = fields_of(pixels, root / layout.masks, ask, thresholds)
        described = _table(pixels, thresholds)
        if naming.folder:
            layout = dataclasses.replace(layout, masks=f"{layout.masks}/{naming.folder}")
        fields |= {"mask_prefix": naming.prefix, "mask_suffix": naming.suffix}
    else:
        if thresholds:
            raise DeeplabError("--thresholds does not go with one mask file for each class")
        fields, described = naming, _layers_text
    description = _described(root, name or data_set_name(root), layout, images, fields)
    source = described_source(root, description)
    notes = "".join(f"note: {note}\n" for note in source.notes)
    splits = ", ".join(f"{split} {len(pairs):,}" for split, pairs in source.splits.items())
    return Proposal(description, described(description, splits, len(paths)) + notes)


def _files(root: Path, folder: str, layout: Layout) -> dict[str, Path]:
    """Returns the files of `folder` by stem; of each split's folder, under the name of the split.

    A `*` in `folder` stands for the folder of a split.
    """
    if "*" not in folder:
        return files_by_stem(root / folder)
    return {
        f"{where}/{stem}": path
        for where in map(str, layout.splits.values())
        if (root / folder.replace("*", where)).is_dir()
        for stem, path in files_by_stem(root / folder.replace("*", where)).items()
    }


def _naming(
    root: Path, layout: Layout, images: dict[str, Path], masks: dict[str, Path]
) -> tuple[Pattern | dict, list[Path]]:
    """Returns how the masks are named, and the masks of the images.

    Returns:
        The pattern of the masks' names, or, for one mask a class, the fields `classes` and `layers`
        of `Description`; and the paths of the masks that images have.

    Raises:
        DeeplabError: no mask has the name of an image, or the names are of several kinds.
    """
    found = patterns(*(_in_one_case(files, layout) for files in (images, masks)))
    by_stem = dict(zip(_in_one_case(masks, layout), masks.values(), strict=True))
    if not found:
        listed = list(_listed_masks(root, layout, images, masks))
        if listed:
            return Pattern(), listed
        raise DeeplabError(
            f"no mask in {root / layout.masks} has the name of an image in {root / layout.images}, "
            f"as {next(iter(masks.values())).name} and {next(iter(images.values())).name} show; "
            "name each mask as its image"
        )
    pattern = one_mask_an_image(found, str(root / layout.masks))
    if pattern:
        return pattern, [by_stem[stem] for stem in found[pattern].values()]
    paths = {p: [by_stem[stem] for stem in stems.values()] for p, stems in found.items()}
    layers = _layers(found, paths, root / layout.masks)
    return layers, [path for each in paths.values() for path in each]


def _in_one_case(files: dict[str, Path], layout: Layout) -> list[str]:
    """Returns the stems of `files` with the folders of the splits in lower case."""
    folders = {str(where).lower() for where in layout.splits.values()}

    def lowered(stem: str) -> str:
        first, slash, rest = stem.partition("/")
        return f"{first.lower()}/{rest}" if slash and first.lower() in folders else stem

    return [lowered(stem) for stem in files]


def _listed_masks(
    root: Path, layout: Layout, images: dict[str, Path], masks: dict[str, Path]
) -> Iterator[Path]:
    """Yields the masks that the lists of the splits name beside their images."""
    for where in layout.splits.values():
        if str(where).lower().endswith(LIST_SUFFIXES):
            for pair in read_pairs(root / str(where), images, masks):
                if pair.mask:
                    yield pair.mask


def _layers(
    found: dict[Pattern, dict[str, str]], paths: dict[Pattern, list[Path]], masks: Path
) -> dict:
    """Returns the fields of `Description` for one mask a class.

    The class with the most pixels comes first, so that smaller objects lie on it.

    Raises:
        DeeplabError: a name does not say a class, or a mask has other values than 0 and one more.
    """
    example = next(iter(found[min(found)]))
    several = (
        f"the images in {masks.parent} have several masks in {masks.name}, as {example} shows: "
        f"{format_patterns(found)}, where * is the image's name"
    )
    words = {pattern: pattern.word() for pattern in found}
    unnamed = [pattern for pattern, word in words.items() if not re.search(r"[^\W\d_]", word)]
    if unnamed:
        raise DeeplabError(
            f"{several}; {unnamed[0]} names no class: merge the masks of an image into one file"
        )
    sizes = {}
    for pattern, files in paths.items():
        sizes[pattern] = 0
        for path, pixels in zip(files, in_processes(look_at_mask, files), strict=True):
            others = [value for value in pixels.counts if value]
            if pixels.lossy or len(others) > 1:
                raise DeeplabError(
                    f"{several}; where each is a class, a mask has only 0 and one other value, and "
                    f"{path} has {len(pixels.counts):,} values: save the masks without soft edges, "
                    "or leave one kind of masks in the folder"
                )
            sizes[pattern] += sum(pixels.counts[value] for value in others)
    order = sorted(found, key=lambda pattern: (-sizes[pattern], pattern))
    names = [re.sub(r"\W+", "_", words[pattern]) for pattern in order]
    background = "background" if "background" not in names else "other"
    layers = {str(pattern): name for pattern, name in zip(order, names, strict=True)}
    return {"classes": list(dict.fromkeys([background, *names])), "layers": layers}


def _described(
    root: Path, name: str, layout: Layout, images: dict[str, Path], fields: dict
) -> Description:
    bands, bits = bands_and_bits(next(iter(images.values())))
    try:
        return Description.model_validate(
            {"name": name, "bands": bands, "bits": bits, **dataclasses.asdict(layout), **fields}
        )
    except pydantic.ValidationError as error:
        raise DeeplabError(
            f"{root} cannot be described in {DESCRIPTION_FILE}: {first_problem(error)}"
        ) from error


def _table(pixels: MaskPixels, thresholds: Sequence[int]) -> Callable[[Description, str, int], str]:
    """Returns the function that makes the text about masks of numbers or colours."""

    def text(description: Description, splits: str, masks: int) -> str:
        kind = {"palette": "numbers (palette)", "grey": "numbers (grey)"}.get(
            pixels.kind, "colours"
        )
        targets = {**dict(enumerate(description.classes)), VOID: "void"}
        values = description.values()
        total = sum(pixels.counts.values())
        rows = [["colour" if pixels.kind == "color" else "value", "pixels", "images", "taken for"]]
        rest = ""
        if thresholds:
            rows = [["values", "pixels", "taken for"]]
            for written, name in (description.labels or {}).items():
                here = sum(n for v, n in pixels.counts.items() if targets[values[v]] == name)
                rows.append([written, f"{here / total:.2%}", name])
        else:
            for value, count in pixels.counts.most_common(MOST_ROWS):
                key: Key = key_of(value) if pixels.kind == "color" else value
                images = f"{pixels.masks[value]:,}"
                rows.append([key_name(key), f"{count / total:.2%}", images, targets[values[key]]])
            more = len(pixels.counts) - MOST_ROWS
            rest = f"and {more:,} more\n" if more > 0 else ""
        if TRANSPARENT in pixels.counts:
            rest += 'note: "transparent" is a class; move it to "void" where it is unlabelled\n'
        if not thresholds and (note := edges_note(pixels)):
            rest += f"note: {note}\n"
        head = _head(description, masks, kind, splits)
        return f"{head}\n\n{align(rows)}\n{rest}"

    return text


def _layers_text(description: Description, splits: str, masks: int) -> str:
    """Returns the text about masks of one class each."""
    rows = [
        ["mask", "is the class"],
        *([p, name] for p, name in (description.layers or {}).items()),
    ]
    head = _head(description, masks, "one class each, a later one on top", splits)
    return f"{head}\n\n{align(rows)}\n"


def _head(description: Description, masks: int, kind: str, splits: str) -> str:
    images = ""
    if (description.bands, description.bits) != (3, 8):
        images = f"images of {description.bands} bands of {description.bits} bits; "
    where = ", ".join(f"{split} {where}" for split, where in description.splits.items())
    return f"{images}{masks:,} masks of {kind}; splits: {where}; images: {splits}"
