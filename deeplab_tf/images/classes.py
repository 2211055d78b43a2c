"""Classes of the data sets: names, palette, and the void label."""

import dataclasses
from collections.abc import Sequence

VOID = 255
"""The label of pixels that count neither in the loss nor in the evaluation (VOC's value).

Everything inside the package uses it, whatever the data set's own files say: builders map theirs.
"""

DATA_SETS = ("voc", "voc_aug", "coco_voc", "coco", "camvid", "shapes")
"""Those that `deeplab-prepare` knows; a folder's own must have another name."""

Color = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Classes:
    """The classes of one data set; class i has `names[i]` and the RGB colour `palette[i]`.

    Attributes:
        dataset: the data set's name, as in `deeplab-prepare --dataset`.
        names: class names; index 0 is the background where there is one.
        palette: one RGB colour in 0..255 a class.
        void_color: the colour that void pixels are drawn with.
    """

    dataset: str
    names: tuple[str, ...]
    palette: tuple[Color, ...]
    void_color: Color = (224, 224, 192)

    def __post_init__(self) -> None:
        if len(self.names) != len(self.palette):
            raise ValueError(
                f"palette must have one colour a class. Received: {len(self.names)} names, "
                f"{len(self.palette)} colours"
            )
        if len(self.names) > VOID:
            raise ValueError(f"at most {VOID} classes fit a byte. Received: {len(self.names)}")

    @property
    def num_classes(self) -> int:
        """Classes, without void."""
        return len(self.names)

    def flat_palette(self) -> list[int]:
        """The 768 numbers of a palette PNG: the classes, black, and `void_color` at 255."""
        flat = [channel for color in self.palette for channel in color]
        flat += [0] * (3 * VOID - len(flat))
        return flat + list(self.void_color)

    def to_dict(self) -> dict:
        """As plain JSON types; `from_dict` reads it back. Carries `void` for other readers."""
        return {
            "dataset": self.dataset,
            "names": list(self.names),
            "palette": [list(color) for color in self.palette],
            "void": VOID,
            "void_color": list(self.void_color),
        }

    @classmethod
    def from_dict(cls, fields: dict) -> "Classes":
        """Reads what `to_dict` wrote."""
        return cls(
            dataset=fields["dataset"],
            names=tuple(fields["names"]),
            palette=tuple(_color(color) for color in fields["palette"]),
            void_color=_color(fields["void_color"]),
        )


def voc_palette(count: int) -> tuple[Color, ...]:
    """VOC's colour map: the bits of the class index are dealt out to R, G, B from the top bit."""
    colors = []
    for index in range(count):
        color = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                color[channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
        colors.append(_color(color))
    return tuple(colors)


def _color(values: Sequence[int]) -> Color:
    red, green, blue = values
    return (int(red), int(green), int(blue))


VOC = Classes(
    dataset="voc",
    names=tuple(
        "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse "
        "motorbike person pottedplant sheep sofa train tvmonitor".split()
    ),
    palette=voc_palette(21),
)

# The 11 classes of the SegNet tutorial's CamVid, with its colours.
CAMVID = Classes(
    dataset="camvid",
    names=tuple("sky building pole road pavement tree sign fence car pedestrian bicyclist".split()),
    palette=(
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (60, 40, 222),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
    ),
    void_color=(0, 0, 0),
)

SHAPES = Classes(
    dataset="shapes",
    names=("background", "circle", "square", "triangle", "star", "ring"),
    palette=voc_palette(6),
)


def labels_by_number(num_classes: int) -> Classes:
    """The classes of another's network, which names none: VOC's where there are 21."""
    if num_classes == VOC.num_classes:
        return VOC
    names = tuple(f"class {index}" for index in range(num_classes))
    return Classes("unknown", names, voc_palette(num_classes))
