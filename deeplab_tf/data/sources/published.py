"""What the readers of public data sets share: files in folders of splits, and published counts."""

from collections.abc import Mapping
from pathlib import Path

from deeplab_tf.data.sources.masks import IndexMask
from deeplab_tf.data.sources.source import Pair, check_ids


def find_root(root: Path, names: tuple[str, ...], parts: tuple[str, ...]) -> Path | None:
    """Returns `root`, or its folder of one of `names`, where every folder of `parts` is inside."""
    for folder in (root, *(root / name for name in names)):
        if all((folder / part).is_dir() for part in parts):
            return folder
    return None


def pairs_of_split(
    images: Path,
    masks: Path,
    ends: tuple[str, str],
    values: Mapping[int, int],
    needs_masks: bool = True,
) -> tuple[list[Pair], list[str]]:
    """Pairs the images below a folder with the masks in the same places below another.

    Args:
        images, masks: the folders of one split; `masks` need not exist where no mask is needed.
        ends: the text after an id in the name of an image and in the name of a mask.
        values: the class id or `VOID` for each number in a mask.
        needs_masks: whether a missing mask is an error, which reading the pair raises; otherwise
            the pair has no mask.

    Returns:
        The pairs, sorted and named by their files, and a note about the masks that have no image.
        Hidden files are passed over.

    Raises:
        DeeplabError: two images below `images` have one id.
    """
    found = {_place(file, images, ends[0]): file for file in _files(images, ends[0])}
    pairs = []
    for place, image in sorted(found.items()):
        mask = masks / f"{place}{ends[1]}"
        without = not needs_masks and not mask.is_file()
        own_id = image.name.removesuffix(ends[0])
        pairs.append(Pair(own_id, image, None if without else IndexMask(mask, values)))
    check_ids(pairs, images)
    lone = [file for file in _files(masks, ends[1]) if _place(file, masks, ends[1]) not in found]
    if not lone:
        return pairs, []
    return pairs, [f"{len(lone):,} masks below {masks} have no image; the first is {lone[0]}"]


def count_notes(
    splits: Mapping[str, list[Pair]], published: Mapping[str, int], publisher: str
) -> list[str]:
    """Returns a note on each split whose number of images is not the published one."""
    return [
        f"{name}: {len(pairs):,} images, where {publisher} publishes {published[name]:,}"
        for name, pairs in splits.items()
        if name in published and len(pairs) != published[name]
    ]


def _files(folder: Path, end: str) -> list[Path]:
    return sorted(
        path for path in folder.rglob(f"*{end}") if not _is_hidden(path.relative_to(folder))
    )


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _place(file: Path, folder: Path, end: str) -> str:
    return file.relative_to(folder).as_posix().removesuffix(end)
