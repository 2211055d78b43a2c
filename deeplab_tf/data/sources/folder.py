"""A data set of your own: a folder of images, a folder of masks, and a `dataset.json`.

    {
      "name": "roofs",
      "classes": ["background", "roof"],
      "labels": {"0": "background", "255": "roof"},
      "splits": {"train": "train.txt", "val": "val.txt"}
    }

`labels` maps the pixel values (`"7"`) or colours (`"#804080"`) in the masks to class names. Several
values may have the same name, which merges classes. Without `labels`, the values are the places of
the classes in the list. `void` lists the values or colours of pixels that do not count. `splits`
has for each split a file of ids, or a folder below `images` and `masks`; or `splits` is
`{"val_share": 0.1}`.
"""

import dataclasses
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import pydantic

from deeplab_tf.data.sources.known import DATA_SETS
from deeplab_tf.data.sources.masks import ColorMask, IndexMask, Mask, unpack_color
from deeplab_tf.data.sources.source import Pair, Source, check_ids, check_split_name, read_list
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.images.classes import VOID, Classes, Color, voc_palette
from deeplab_tf.images.formats import ImageFormat
from deeplab_tf.images.suffixes import IMAGE_SUFFIXES

DESCRIPTION_FILE = "dataset.json"
HexColor = Annotated[str, pydantic.StringConstraints(pattern="^#[0-9a-fA-F]{6}$")]
Share = Annotated[float, pydantic.Field(gt=0, lt=1)]


class Description(pydantic.BaseModel):
    """The checked content of a `dataset.json`.

    Attributes:
        name: the name of the data set, as in `--config.data.dataset`.
        classes: the class names; the place of a name is the id that the network learns.
        palette: a colour for each class; by default VOC's colours.
        labels: the class name for each value or colour in the masks; None where the values are the
            ids of the classes.
        void: the values or colours of pixels that do not count.
        images, masks: the folders, relative to the folder of `dataset.json`.
        bands, bits: the number of channels of the images, and the 8 or 16 bits of each channel.
            Images other than RGB of 8 bits are TIFFs or PNGs.
        mask_suffix: the text that a mask's name has after the image's name, before `.png`.
        splits: for each split, a file of ids (`.txt`) or a folder below `images` and `masks`; or
            the share of the images that are for validation, which are chosen by their names.
    """

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, pydantic.StringConstraints(pattern="^[a-z][a-z0-9_]*$", max_length=64)]
    classes: Annotated[list[str], pydantic.Field(min_length=2, max_length=VOID)]
    palette: list[HexColor] | None = None
    labels: dict[str, str] | None = None
    void: list[int | str] = []
    images: str = "images"
    masks: str = "masks"
    bands: Annotated[int, pydantic.Field(ge=1, le=1024)] = 3
    bits: Literal[8, 16] = 8
    mask_suffix: str = ""
    splits: dict[Literal["val_share"], Share] | dict[str, str]

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> "Description":
        if self.name in DATA_SETS:
            raise ValueError(f"name {self.name!r} belongs to another data set; give another name")
        if len(set(self.classes)) != len(self.classes) or not all(self.classes):
            raise ValueError("classes must be different names")
        if self.palette and len(self.palette) != len(self.classes):
            raise ValueError(
                f"palette must have one colour for each class. Received: {len(self.classes)} "
                f"classes, {len(self.palette)} colours"
            )
        if not self.splits:
            raise ValueError("splits must name one split or more")
        unknown = sorted(set((self.labels or {}).values()) - set(self.classes))
        if unknown:
            raise ValueError(f"labels has {unknown[0]!r}, which is not in classes")
        self.values()
        return self

    def class_set(self) -> Classes:
        """Returns the classes with their colours; the palette of VOC is the default."""
        colors = voc_palette(len(self.classes))
        if self.palette:
            colors = tuple(_color(color) for color in self.palette)
        return Classes(self.name, tuple(self.classes), colors)

    def mask_of(self) -> Callable[[Path], Mask]:
        """Returns the function that makes a `Mask` of the path of a mask file.

        The mask is a `ColorMask` where `labels` and `void` have colours, otherwise an `IndexMask`.
        """
        values = self.values()
        numbers = {key: target for key, target in values.items() if isinstance(key, int)}
        colors = {key: target for key, target in values.items() if not isinstance(key, int)}
        return lambda path: ColorMask(path, colors) if colors else IndexMask(path, numbers)

    def values(self) -> dict[int, int] | dict[Color, int]:
        """Returns the class id or `VOID` for each value, or for each RGB colour, in the masks.

        Raises:
            ValueError: a key of `labels` or `void` is neither a value nor a colour, the two kinds
                are mixed, or a key has two meanings.
        """
        keys = [*(self.labels or map(str, range(len(self.classes)))), *map(str, self.void)]
        colored = [key for key in keys if key.startswith("#")]
        if colored and len(colored) != len(keys):
            raise ValueError("labels and void must all be values or all be colours (#rrggbb)")
        ids = {name: index for index, name in enumerate(self.classes)}
        classes = [*(self.labels or {}).values()] or self.classes
        targets = [*(ids[name] for name in classes), *(VOID for _ in self.void)]
        if colored:
            return _mapping([_color(key) for key in keys], targets)
        return _mapping([_value(key) for key in keys], targets)


def folder_source(root: str | Path) -> Source:
    """Returns the data set that `root/dataset.json` describes.

    An image of a split whose name begins with `test` needs no mask.

    Raises:
        DeeplabError: the description is missing or wrong, a folder or list in the description is
            missing, or a split has no image or an id twice.
    """
    root = Path(root)
    description = read_description(root)
    file, images, masks = (
        root / DESCRIPTION_FILE,
        root / description.images,
        root / description.masks,
    )
    for folder in (images, masks):
        if not folder.is_dir():
            raise DeeplabError(f"{file} names {folder}, which is no folder")
    everything = files_by_stem(images, IMAGE_SUFFIXES)
    mask_of = description.mask_of()
    splits = {}
    for split, listing in _listings(root, description, everything).items():
        check_split_name(split, file)
        if not listing.images:
            raise DeeplabError(f"{file}: split {split!r} has no image")
        pairs = []
        for name, image in listing.images:
            mask = listing.masks / f"{name}{description.mask_suffix}.png"
            without = split.startswith("test") and not mask.is_file()
            pairs.append(Pair(name, image, None if without else mask_of(mask)))
        check_ids(pairs, listing.listed_in)
        splits[split] = pairs
    return Source(
        description.class_set(),
        splits,
        notes=tuple(_lone_masks(masks, description.mask_suffix, everything)),
        image_format=ImageFormat(description.bands, description.bits),
    )


def read_description(root: Path) -> Description:
    """Reads `root/dataset.json`.

    Raises:
        DeeplabError: the file is missing, or a field is wrong; the message names the field.
    """
    file = root / DESCRIPTION_FILE
    if not root.is_dir():
        raise DeeplabError(f"source folder {root} does not exist; give the folder of your data set")
    if not file.is_file():
        raise DeeplabError(
            f"{file} is missing; deeplab-prepare --dataset=folder --init --source={root} looks at "
            "the folder and writes the file"
        )
    try:
        return Description.model_validate_json(file.read_bytes())
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise DeeplabError(
            f"{file}: {where + ': ' if where else ''}{one_line(message)[:300]}"
        ) from error
    except OSError as error:
        raise DeeplabError(f"{file} cannot be read: {error.strerror}") from error


def files_by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Finds the files below `folder` that have one of `suffixes`, in lower or upper case.

    Returns:
        The sorted files, each under its path relative to `folder`, without suffix.

    Raises:
        DeeplabError: two files differ only in the suffix.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes)
    by_stem: dict[str, Path] = {}
    for path in found:
        stem = path.relative_to(folder).with_suffix("").as_posix()
        other = by_stem.setdefault(stem, path)
        if other is not path:
            raise DeeplabError(
                f"{other} and {path} must not differ only in the suffix; keep one of the two files"
            )
    return by_stem


def without_suffix(line: str) -> str:
    """Returns the id on a line of a list; the line may have the suffix of an image."""
    stem, dot, suffix = line.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in IMAGE_SUFFIXES else line


def is_validation(name: str, share: float) -> bool:
    """Returns whether an image belongs to the `share` of images for validation.

    Only the image's `name` decides, so that an image keeps its split when other images are added.
    """
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


@dataclasses.dataclass(frozen=True)
class _Listing:
    """The files of one split.

    Attributes:
        images: the id and the image file of each pair.
        masks: the folder of the masks.
        listed_in: the file or folder that lists the images, for messages.
    """

    images: list[tuple[str, Path]]
    masks: Path
    listed_in: Path


def _listings(
    root: Path, description: Description, everything: dict[str, Path]
) -> dict[str, _Listing]:
    """Returns the files of each split.

    Args:
        root: the folder of `dataset.json`.
        description: the content of `dataset.json`.
        everything: all images by id.
    """
    file, masks = root / DESCRIPTION_FILE, root / description.masks
    if "val_share" in description.splits:
        share = float(description.splits["val_share"])
        parts = {"train": [], "val": []}
        for name, path in everything.items():
            parts["val" if is_validation(name, share) else "train"].append((name, path))
        return {split: _Listing(part, masks, file) for split, part in parts.items()}
    images, listings = root / description.images, {}
    for split, where in description.splits.items():
        where = str(where)
        if where.endswith(".txt"):
            names = [without_suffix(line) for line in read_list(root / where)]
            # A listed image that does not exist gets a path all the same, so that reading the image
            # raises an error that names the file.
            listed = [(name, everything.get(name, images / f"{name}.jpg")) for name in names]
            listings[split] = _Listing(listed, masks, root / where)
        elif (images / where).is_dir():
            inside = files_by_stem(images / where, IMAGE_SUFFIXES)
            listings[split] = _Listing([*inside.items()], masks / where, images / where)
        else:
            raise DeeplabError(
                f"{file}: split {split!r} is {where!r}, but there is no folder {images / where}; a "
                "list of ids must end in .txt"
            )
    return listings


def _lone_masks(masks: Path, suffix: str, images: dict[str, Path]) -> list[str]:
    """Returns a note about the masks that have no image, or an empty list where all have one."""
    lone = [
        path
        for stem, path in files_by_stem(masks, (".png",)).items()
        if stem.endswith(suffix) and stem.removesuffix(suffix) not in images
    ]
    return [f"{len(lone):,} masks have no image; the first is {lone[0]}"] if lone else []


def _mapping(keys: list, targets: list[int]) -> dict:
    """Returns a dict of keys to targets; raises `ValueError` for a key with two targets."""
    values: dict = {}
    for key, target in zip(keys, targets, strict=True):
        if values.setdefault(key, target) != target:
            raise ValueError(f"{key} has two meanings in labels and void")
    return values


def _value(key: str) -> int:
    if not re.fullmatch(r"\d{1,5}", key) or int(key) > 65_535:
        raise ValueError(f"{key!r} is neither a pixel value (0 to 65535) nor a colour (#rrggbb)")
    return int(key)


def _color(key: str) -> Color:
    if not re.fullmatch("#[0-9a-fA-F]{6}", key):
        raise ValueError(f"{key!r} is no colour; write it as #rrggbb")
    return unpack_color(int(key[1:], 16))
