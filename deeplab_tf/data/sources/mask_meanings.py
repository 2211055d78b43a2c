"""The classes that the values or colours of masks are taken for, as fields of a `dataset.json`.

Tested in tests/data/sources/test_describe_folder.py, through `propose`.
"""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from deeplab_tf.data.sources.description import DESCRIPTION_FILE, LOSSY_RANGE, TRANSPARENT_KEY
from deeplab_tf.data.sources.look_at_masks import Counts, MaskPixels
from deeplab_tf.data.sources.mask_files import TRANSPARENT
from deeplab_tf.data.sources.masks import packed_name, unpack_color
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOID, voc_palette

RARE = 0.0005
"""A share of all pixels; fewer pixels may be stray ones, or classes of very small objects."""
SMOOTHED_OUTLINE = 0.08
"""A share of the pixels at outlines; masks of classes have 0.02 at most, smoothed ones 0.1."""
MANY_THIN = 8
"""So many values without areas of their own are no classes, if they are more than the others."""
SEEN_APART = 16
"""Colours that differ by less than this in every channel look alike; so do grey values."""

Meaning = str
"""The meaning of the largest value in masks: `class` or `void`."""
Ask = Callable[[], Meaning | None]


def fields_of(pixels: MaskPixels, masks: Path, ask: Ask, thresholds: Sequence[int]) -> dict:
    """Returns the fields of `Description` that name the classes.

    Args:
        pixels: what is in the masks.
        masks: the folder of the masks, for messages.
        ask: returns the meaning of the largest value, or None where nobody knows; `ask` is called
            only where the values leave it open.
        thresholds: the first value of the second class, of the third class and so on; empty where
            each value is a class.

    Raises:
        DeeplabError: the masks do not show which values or colours are classes.
    """
    if thresholds:
        return _by_thresholds(pixels, masks, thresholds)
    _check_edges(pixels, masks)
    if pixels.kind == "color":
        return _colored(pixels.counts, masks, ask)
    return _numbered(pixels, masks, ask)


def _by_thresholds(pixels: MaskPixels, masks: Path, thresholds: Sequence[int]) -> dict:
    if pixels.kind == "color":
        raise DeeplabError(
            f"--thresholds needs masks of numbers; the masks in {masks} have colours"
        )
    top = _top(pixels.counts)
    starts, ends = [0, *thresholds], [*(t - 1 for t in thresholds), top]
    names = _names(len(starts))
    labels = {}
    for name, start, end in zip(names, starts, ends, strict=True):
        if not any(start <= value <= end for value in pixels.counts):
            raise DeeplabError(
                f"the masks in {masks} have no value from {start} to {end}, which "
                f"--thresholds={','.join(map(str, thresholds))} makes a class; thresholds must "
                f"rise, from 1 to {max(pixels.counts)}"
            )
        if pixels.lossy and end - start + 1 < LOSSY_RANGE:
            raise DeeplabError(
                f"the masks in {masks} are {pixels.lossy} files, whose values are not exact; each "
                f"class must have {LOSSY_RANGE} values or more. Received: {start} to {end}"
            )
        labels[f"{start}-{end}" if end > start else str(start)] = name
    return {"classes": names, "labels": labels}


def _names(count: int) -> list[str]:
    return ["background", "object"] if count == 2 else [f"class_{i}" for i in range(count)]


def _check_edges(pixels: MaskPixels, masks: Path) -> None:
    """Raises `DeeplabError` where values or colours are what smoothing or JPEG left at outlines.

    A class has areas of its own. A value without areas is suspicious where there are many such
    values, and where the value lies between its neighbours, as the values of a soft edge do.
    """
    thin = [v for v, count in pixels.counts.items() if 4 * pixels.solid[v] < count]
    solid = len(pixels.counts) - len(thin)
    edges = [value for value in thin if 2 * pixels.between[value] > pixels.counts[value]]
    share = sum(pixels.counts[value] for value in edges) / sum(pixels.counts.values())
    many = len(thin) > MANY_THIN and len(thin) > solid
    few = len(edges) >= max(2, solid) or (len(edges) >= max(1, solid / 2) and _far_apart(pixels))
    if many or (few and share >= RARE) or _has_noise(pixels, thin) or pixels.lossy:
        raise DeeplabError(_smoothed(pixels, masks, len(thin)))


def edges_note(pixels: MaskPixels) -> str | None:
    """Returns a line where outlines look smoothed though each value has areas, otherwise None.

    Masks of class numbers that were resized with smoothing have class 1 between 0 and 2. Masks with
    a drawn border look the same, so this is no error.
    """
    share = sum(pixels.between.values()) / max(pixels.outline, 1)
    if share < SMOOTHED_OUTLINE:
        return None
    return (
        f"{share:.0%} of the pixels at outlines have a value between those of their neighbours, as "
        "smoothing makes it: if the masks were resized, resize them again from the originals by "
        "nearest neighbour"
    )


def _has_noise(pixels: MaskPixels, thin: list[int]) -> bool:
    """Returns whether the values lie closely around few others, as those of a good JPEG do."""
    values = sorted(pixels.counts)
    groups = [[values[0]]]
    for value in values[1:]:
        if value - groups[-1][-1] >= LOSSY_RANGE:
            groups.append([])
        groups[-1].append(value)
    return len(groups) > 1 and all(
        len(group) > 1 and len(set(group) - set(thin)) == 1 for group in groups
    )


def _far_apart(pixels: MaskPixels) -> bool:
    """Returns whether no two values are close, as 0, 128 and 255 are far apart and 0, 1, 2 not."""
    values = sorted(pixels.counts)
    gaps = [b - a for a, b in itertools.pairwise(values)]
    return pixels.kind == "color" or min(gaps, default=0) >= SEEN_APART


def _smoothed(pixels: MaskPixels, masks: Path, thin: int) -> str:
    """Returns the error for masks whose edges are soft, with the way out."""
    what = "colours" if pixels.kind == "color" else "values"
    if pixels.lossy:
        text = (
            f"the masks in {masks} are {pixels.lossy} files with {len(pixels.counts):,} {what}: "
            f"{pixels.lossy} changes labels"
        )
    else:
        text = (
            f"the masks in {masks} have {len(pixels.counts):,} {what}, {thin:,} of them only at "
            "outlines: they were smoothed (resized, drawn with soft edges, or once saved as JPEG)"
        )
    if pixels.kind == "color":
        return text + "; save them as PNG again, with one colour a class"
    cuts = _cuts(pixels)
    starts, ends = [0, *cuts], [*(cut - 1 for cut in cuts), _top(pixels.counts)]
    ranges = zip(starts, ends, _names(len(starts)), strict=True)
    labels = ", ".join(f'"{start}-{end}": "{name}"' for start, end, name in ranges)
    return (
        f"{text}; save them as PNG again, with one value a class, or add "
        f"--thresholds={','.join(map(str, cuts))} to deeplab-prepare --init, which writes "
        f'"labels": {{{labels}}} into {DESCRIPTION_FILE}'
        + ("" if pixels.lossy else ", or where each value is a class, write the file by hand")
    )


def _cuts(pixels: MaskPixels) -> list[int]:
    """Returns thresholds halfway between the levels that have areas.

    A level is a value whose neighbourhood, in which JPEG moves the values of an area, has a
    two-hundredth of all pixels as areas.
    """
    near = LOSSY_RANGE // 4
    areas = {
        value: sum(pixels.solid[value + step] for step in range(-near, near + 1))
        for value in pixels.counts
    }
    levels: list[int] = []
    for value in sorted(areas, key=lambda value: (-areas[value], -pixels.counts[value])):
        apart = all(abs(value - level) >= LOSSY_RANGE for level in levels)
        if apart and areas[value] >= 0.005 * sum(pixels.counts.values()):
            levels.append(value)
    levels.sort()
    if len(levels) < 2:
        return [(_top(pixels.counts) + 1) // 2]
    return [(a + b + 1) // 2 for a, b in itertools.pairwise(levels)]


def _numbered(pixels: MaskPixels, masks: Path, ask: Ask) -> dict:
    """Returns the fields of `Description` that name the classes, for masks of numbers."""
    values, top = sorted(pixels.counts), _top(pixels.counts)
    if values == [0, top]:
        return _binary(("0", str(top)), masks, ask)
    void = [top] if top in values and _is_void(pixels, masks, ask) else []
    classes = [value for value in values if value not in void]
    _check_count(len(classes), masks)
    names = [f"class_{value}" for value in classes]
    fields: dict = {"classes": names, "void": void}
    if classes != list(range(len(classes))):
        fields["labels"] = {str(v): name for v, name in zip(classes, names, strict=True)}
    colors = [pixels.palette[value] for value in classes if value in pixels.palette]
    if len(colors) == len(classes) and _told_apart(colors):
        fields["palette"] = [packed_name(color) for color in colors]
    return fields


def _top(counts: Counts) -> int:
    """Returns the largest value that the files can have: 255, or 65535 where a value needs it."""
    return 255 if max(counts) <= 255 else 65_535


def _is_void(pixels: MaskPixels, masks: Path, ask: Ask) -> bool:
    """Returns whether the largest value is void.

    It is where it is far from the others, as 255 from 0 to 18. Where the values are levels, as 0,
    128 and 255 are, or where each mask with 255 has only 0 beside it, as in a set of 0 and 255 that
    was merged with one of 0 and 1, the function calls `ask`.
    """
    values = sorted(pixels.counts)
    *others, top = values
    gaps = [b - a for a, b in itertools.pairwise(others)]
    far = top - others[-1] > 4 * max(gaps, default=1)
    if far and pixels.only_top < pixels.masks[top]:
        return True
    meaning = ask()
    if meaning is None:
        shown = ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
        raise _open_question(masks, shown, str(top))
    return meaning == "void"


def _open_question(masks: Path, shown: str, top: str) -> DeeplabError:
    return DeeplabError(
        f"the masks in {masks} have only {shown}, and {top} can be a class or void; give "
        "deeplab-prepare --init --meaning_of_255=class or --meaning_of_255=void"
    )


def _colored(counts: Counts, masks: Path, ask: Ask) -> dict:
    """Returns the fields of `Description` that name the classes, for masks of colours.

    The most frequent colour is the first class; where the colours look alike, as numbers in one
    channel do, the darkest is, and the classes have other colours to be seen in.
    """
    if set(counts) == {0x000000, 0xFFFFFF}:
        return _binary(("#000000", "#ffffff"), masks, ask)
    _check_count(len(counts), masks)
    seen = _told_apart([color for color in counts if color != TRANSPARENT])
    order = sorted(counts, key=lambda c: (-counts[c], c) if seen else (c == TRANSPARENT, c))
    names = [
        TRANSPARENT_KEY if color == TRANSPARENT else f"class_{index}"
        for index, color in enumerate(order)
    ]
    labels = dict(zip(map(packed_name, order), names, strict=True))
    fields: dict = {"classes": names, "labels": labels}
    if seen:
        free = iter(color for color in map(_packed, voc_palette(VOID)) if color not in counts)
        shown = [next(free) if color == TRANSPARENT else color for color in order]
        fields["palette"] = [packed_name(color) for color in shown]
    return fields


def _packed(color: tuple[int, int, int]) -> int:
    return color[0] << 16 | color[1] << 8 | color[2]


def _told_apart(colors: list[int]) -> bool:
    """Returns whether a person sees by most of the colours which class is meant."""
    channels = np.array([unpack_color(color) for color in colors]).reshape(-1, 3)
    differences = np.abs(channels[:, None] - channels).max(axis=-1)
    alike = (differences < SEEN_APART).sum(axis=1) > 1  # each colour is like itself
    return 2 * int(alike.sum()) <= len(colors)


def _binary(keys: tuple[str, str], masks: Path, ask: Ask) -> dict:
    """Returns the fields of `Description` that name the classes, for masks of only 0 and 255.

    The value 255 is most often an object and sometimes void. The files do not say which, so the
    function calls `ask`.
    """
    meaning = ask()
    if meaning is None:
        raise _open_question(masks, f"{keys[0]} and {keys[1]}", keys[1])
    if meaning == "class":
        names = _names(2)
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
