"""The names of masks as patterns of the names of their images: `*_mask`, `mask_*`, `road/*`."""

import collections
import dataclasses
from collections.abc import Iterable, Iterator

from deeplab_tf.errors import DeeplabError


@dataclasses.dataclass(frozen=True, order=True)
class Pattern:
    """How the stem of a mask is made of the stem of its image.

    The mask of the image `DIR/NAME` is `FOLDER/DIR/PREFIX NAME SUFFIX`.

    Attributes:
        folder: folders before those of the image, or empty.
        prefix, suffix: what is before and after the image's name.
    """

    folder: str = ""
    prefix: str = ""
    suffix: str = ""

    @classmethod
    def parse(cls, text: str) -> "Pattern":
        """Makes a pattern of its text, in which one `*` stands for the image's name."""
        folder, _, base = text.rpartition("/")
        prefix, _, suffix = base.partition("*")
        return cls(folder, prefix, suffix)

    def __str__(self) -> str:
        return "/".join(filter(None, (self.folder, f"{self.prefix}*{self.suffix}")))

    def mask(self, image: str) -> str:
        """Returns the stem of the mask of the image with the stem `image`."""
        folder, _, base = image.rpartition("/")
        return "/".join(filter(None, (self.folder, folder, f"{self.prefix}{base}{self.suffix}")))

    def word(self) -> str:
        """Returns the words of the pattern without separators, as `road` of `*_road`."""
        return f"{self.folder} {self.prefix} {self.suffix}".strip(" _-./")


def patterns(images: Iterable[str], masks: Iterable[str]) -> dict[Pattern, dict[str, str]]:
    """Finds the images in the names of the masks.

    The longest image name counts, so that `img_10` belongs to `img_10` and not to `img_1`. A number
    does not go on before or after an image's name, and neither does a word.

    Args:
        images, masks: the stems of the files.

    Returns:
        For each pattern, the stems of its masks by the stems of their images.
    """
    folders = collections.defaultdict(set)
    for stem in images:
        folder, _, base = stem.rpartition("/")
        folders[base].add(folder)
    found: dict[Pattern, dict[str, str]] = collections.defaultdict(dict)
    for stem in masks:
        match = next(_matches(stem, folders), None)
        if match:
            pattern, image = match
            found[pattern][image] = stem
    return dict(found)


def one_mask_an_image(found: dict[Pattern, dict[str, str]], masks: str) -> Pattern | None:
    """Returns the only pattern, or None where images have several masks, one a pattern.

    Raises:
        DeeplabError: there are several patterns, and each image has one mask.
    """
    if len(found) == 1:
        return next(iter(found))
    counts = collections.Counter(image for by_image in found.values() for image in by_image)
    if max(counts.values()) > 1:
        return None
    raise DeeplabError(
        f"the masks in {masks} are named in {len(found)} ways: {format_patterns(found)}, where * "
        "is the image's name; name all masks in one way, or where each way is a class, write "
        '"layers" in dataset.json'
    )


def format_patterns(found: dict[Pattern, dict[str, str]]) -> str:
    """Returns the most frequent patterns with their numbers of masks as text."""
    often = sorted(found, key=lambda pattern: (-len(found[pattern]), pattern))
    shown = ", ".join(f"{pattern} ({len(found[pattern]):,})" for pattern in often[:4])
    return shown + (", ..." if len(often) > 4 else "")


def _matches(stem: str, folders: dict[str, set[str]]) -> Iterator[tuple[Pattern, str]]:
    """Yields the patterns and the images that the mask `stem` can have, the longest name first."""
    folder, _, base = stem.rpartition("/")
    for length in range(len(base), 0, -1):
        for start in range(len(base) - length + 1):
            name = base[start : start + length]
            if name not in folders:
                continue
            prefix, suffix = base[:start], base[start + length :]
            if _goes_on(prefix, name) or _goes_on(name, suffix):
                continue
            for before, inside in _parts(folder):
                if inside in folders[name]:
                    yield Pattern(before, prefix, suffix), f"{inside}/{name}" if inside else name


def _parts(folder: str) -> Iterator[tuple[str, str]]:
    """Yields `folder` as two parts, the second one the longest first: `("", "a/b")`, `("a", "b")`.

    The last second part is empty.
    """
    names = folder.split("/") if folder else []
    for cut in range(len(names) + 1):
        yield "/".join(names[:cut]), "/".join(names[cut:])


def _goes_on(left: str, right: str) -> bool:
    """Returns whether a number or a word goes from the end of `left` on to `right`."""
    if not left or not right:
        return False
    ends = left[-1], right[0]
    return all(end.isdigit() for end in ends) or all(end.isalpha() for end in ends)
