"""The content of a `dataset.json`, checked.

    {
      "name": "roofs",
      "classes": ["background", "roof"],
      "labels": {"0": "background", "255": "roof"},
      "splits": {"train": "train.txt", "val": "val.txt"}
    }

`labels` maps what the masks hold to class names: pixel values (`"7"`), ranges of values
(`"128-255"`), or colours (`"#804080"`, `"transparent"`). Several may have the same name, which
merges classes. Without `labels`, the values are the places of the classes in the list. `void` lists
the values, ranges or colours of pixels that do not count.

Tested in tests/data/sources/test_folder.py, through `folder_source`.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal

import pydantic

from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.data.sources.folder_files import LIST_SUFFIXES
from deeplab_tf.data.sources.known import DATA_SETS
from deeplab_tf.data.sources.mask_files import TRANSPARENT
from deeplab_tf.data.sources.masks import ColorMask, IndexMask, Mask, color_name, unpack_color
from deeplab_tf.data.sources.source import read_text
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.images.classes import VOID, Classes, Color, voc_palette

DESCRIPTION_FILE = "dataset.json"
TRANSPARENT_KEY = "transparent"
LOSSY_RANGE = 32
"""The values that each range must have, so that the masks may be JPEGs, whose values are moved."""

HexColor = Annotated[str, pydantic.StringConstraints(pattern="^#[0-9a-fA-F]{6}$")]
LayerName = Annotated[str, pydantic.StringConstraints(pattern=r"^([^*]*/)?[^*/]*\*[^*/]*$")]
Share = Annotated[float, pydantic.Field(gt=0, lt=1)]
Key = int | Color | Literal["transparent"]


class Description(pydantic.BaseModel):
    """The checked content of a `dataset.json`.

    Attributes:
        name: the name of the data set, as in `--config.data.dataset`.
        classes: the class names; the place of a name is the id that the network learns.
        palette: a colour for each class; by default VOC's colours.
        labels: the class name for each value, range or colour in the masks; None where the values
            are the ids of the classes.
        layers: for masks of one class each, the class of each name of a file, in which `*` stands
            for the image's name, as `{"*_road": "road", "car/*": "car"}`. A pixel has the class of
            the last file in which the pixel is not 0, and the first class where there is none.
        void: the values, ranges or colours of pixels that do not count.
        unlabelled: what an image without a mask is: an error, left out, or the first class in every
            pixel.
        images, masks: the folders, relative to the folder of `dataset.json`. A `*` in both stands
            for the folder of a split, as in `*/images`.
        bands, bits: the number of channels of the images, and the 8 or 16 bits of each channel, or
            32 for floats. Images other than RGB of 8 bits are TIFFs or PNGs.
        nodata: the value of pixels without data, which are void; None takes it from each file,
            where a GeoTIFF names one.
        mask_prefix, mask_suffix: the text that a mask's name has before and after the image's name.
        splits: for each split, a list of ids (`.txt`, `.lst`, `.csv`, `.tsv`) or a folder below
            `images` and `masks`; or the share of the images that are for validation, which are
            chosen by their names.
    """

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, pydantic.StringConstraints(pattern="^[a-z][a-z0-9_]*$", max_length=64)]
    classes: Annotated[list[str], pydantic.Field(min_length=2, max_length=VOID)]
    palette: list[HexColor] | None = None
    labels: dict[str, str] | None = None
    layers: Annotated[dict[LayerName, str], pydantic.Field(min_length=1)] | None = None
    void: list[int | str] = []
    unlabelled: Literal["error", "skip", "background"] = "error"
    images: str = "images"
    masks: str = "masks"
    bands: Annotated[int, pydantic.Field(ge=1, le=1024)] = 3
    bits: Literal[8, 16, 32] = 8
    nodata: pydantic.FiniteFloat | None = None
    mask_prefix: str = ""
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
        if not ImageFormat(self.bands, self.bits, nodata=self.nodata).can_lack_data:
            raise ValueError(
                f"nodata must be a value that a pixel of {self.bits} bits can have. Received: "
                f"{self.nodata}"
            )
        if not self.splits:
            raise ValueError("splits must name one split or more")
        for field in ("labels", "layers"):
            unknown = sorted(set((getattr(self, field) or {}).values()) - set(self.classes))
            if unknown:
                raise ValueError(f"{field} has {unknown[0]!r}, which is not in classes")
        self._check_layers()
        self._check_folders()
        self.values()
        return self

    def _check_layers(self) -> None:
        others = ("labels", "void", "mask_prefix", "mask_suffix")
        given = [field for field in others if getattr(self, field)]
        if self.layers and given:
            raise ValueError(f"layers and {given[0]} exclude each other")

    def _check_folders(self) -> None:
        stars = self.images.count("*"), self.masks.count("*")
        if stars == (0, 0):
            return
        lists = "val_share" in self.splits or any(
            str(where).lower().endswith(LIST_SUFFIXES) for where in self.splits.values()
        )
        if stars != (1, 1) or lists:
            raise ValueError(
                "images and masks must both have one *, which stands for a split's folder, or "
                "neither; with *, each split must be a folder"
            )

    def colored_classes(self) -> Classes:
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
        colors = {key: target for key, target in values.items() if isinstance(key, tuple)}
        transparent = values.get(TRANSPARENT_KEY)
        if colors or transparent is not None:
            return lambda path: ColorMask(path, colors, transparent)
        wide = self._has_wide_ranges()
        return lambda path: IndexMask(path, numbers, wide)

    def values(self) -> dict[Key, int]:
        """Returns the class id or `VOID` for each value, or for each RGB colour, in the masks.

        Raises:
            ValueError: a key of `labels` or `void` is neither a value, a range nor a colour, the
                kinds are mixed, or a key has two meanings.
        """
        keys = [*(self.labels or map(str, range(len(self.classes)))), *map(str, self.void)]
        colored = [key for key in keys if key.startswith("#") or key == TRANSPARENT_KEY]
        if colored and len(colored) != len(keys):
            raise ValueError("labels and void must all be values or all be colours (#rrggbb)")
        ids = {name: index for index, name in enumerate(self.classes)}
        classes = [*(self.labels or {}).values()] or self.classes
        targets = [*(ids[name] for name in classes), *(VOID for _ in self.void)]
        values: dict[Key, int] = {}
        for key, target in zip(keys, targets, strict=True):
            for value in _meant(key):
                if values.setdefault(value, target) != target:
                    raise ValueError(f"{key_name(value)} has two meanings in labels and void")
        return values

    def _has_wide_ranges(self) -> bool:
        """Returns whether every key is a range of `LOSSY_RANGE` values or more."""
        keys = [*(self.labels or ()), *map(str, self.void)]
        return bool(keys) and all(len(_numbers(key)) >= LOSSY_RANGE for key in keys)


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
        return Description.model_validate_json(read_text(file, str(file)))
    except pydantic.ValidationError as error:
        raise DeeplabError(f"{file}: {first_problem(error)}") from error


def first_problem(error: pydantic.ValidationError) -> str:
    """Returns the first field that pydantic found wrong, and why, as one line."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{where + ': ' if where else ''}{one_line(message)[:300]}"


def _meant(key: str) -> Iterator[Key]:
    """Yields the values or the colour that a key of `labels` or `void` means."""
    if key == TRANSPARENT_KEY:
        yield TRANSPARENT_KEY
    elif key.startswith("#"):
        yield _color(key)
    else:
        yield from _numbers(key)


def _numbers(key: str) -> range:
    """Returns the values that `7` or `128-255` means."""
    match = re.fullmatch(r"(\d{1,5})(?:\s*-\s*(\d{1,5}))?", key)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if not first <= last <= 65_535:
        raise ValueError(
            f"{key!r} is neither a pixel value (0 to 65535), a range of values (128-255) nor a "
            "colour (#rrggbb)"
        )
    return range(first, last + 1)


def _color(key: str) -> Color:
    if not re.fullmatch("#[0-9a-fA-F]{6}", key):
        raise ValueError(f"{key!r} is no colour; write it as #rrggbb")
    return unpack_color(int(key[1:], 16))


def key_name(key: Key) -> str:
    """Returns a key as the text in a `dataset.json`."""
    return color_name(key) if isinstance(key, tuple) else str(key)


def key_of(packed: int) -> Key:
    """Returns the key of a colour 0xRRGGBB, or of `TRANSPARENT`."""
    return TRANSPARENT_KEY if packed == TRANSPARENT else unpack_color(packed)
