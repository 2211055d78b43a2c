"""The classes of the data sets: names, palettes, and the class id of void.

Tested in tests/images/test_drawing.py and tests/evaluation/test_evaluate.py.
"""

import dataclasses
from collections.abc import Sequence

from deeplab_tf.errors import DeeplabError

VOID = 255
"""The class id of pixels that count neither in the loss nor in the evaluation (VOC's value).

The whole package uses this value; the readers of raw data sets map the values in the files to it.
"""

Color = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Classes:
    """The classes of one data set; class i has `names[i]` and the RGB colour `palette[i]`.

    Attributes:
        dataset: the data set's name, as in `deeplab-prepare --dataset`.
        names: class names; index 0 is the background where there is one.
        palette: one RGB colour in 0..255 for each class.
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
            raise DeeplabError(
                f"{self.dataset} has {len(self.names)} classes; {VOID} are the most, since labels "
                f"are bytes and {VOID} is void: merge classes, or leave some out"
            )

    @property
    def num_classes(self) -> int:
        """The number of classes, without void."""
        return len(self.names)

    @property
    def has_background(self) -> bool:
        """Returns whether class 0 is the background."""
        return self.names[0] == "background"

    def name_of(self, label: int) -> str:
        """Returns the name of a class id; `void` for every number that is none."""
        return self.names[label] if label < self.num_classes else "void"

    def flat_palette(self) -> list[int]:
        """Returns the 768 numbers of the palette in a palette PNG.

        The palette has the colours of the classes, then black, and `void_color` at index 255.
        """
        flat = [channel for color in self.palette for channel in color]
        flat += [0] * (3 * VOID - len(flat))
        return flat + list(self.void_color)

    def to_dict(self) -> dict:
        """Returns the classes as plain JSON types, which `from_dict` reads.

        The entry `void` is for other readers; `from_dict` ignores it.
        """
        return {
            "dataset": self.dataset,
            "names": list(self.names),
            "palette": [list(color) for color in self.palette],
            "void": VOID,
            "void_color": list(self.void_color),
        }

    @classmethod
    def from_dict(cls, fields: dict) -> "Classes":
        """Makes classes of the result of `to_dict`."""
        return cls(
            dataset=fields["dataset"],
            names=tuple(fields["names"]),
            palette=tuple(_color(color) for color in fields["palette"]),
            void_color=_color(fields["void_color"]),
        )


def voc_palette(count: int) -> tuple[Color, ...]:
    """Returns the first `count` colours of VOC's colour map.

    The bits of the class index go to R, G and B in turn, from the lowest bit on; each channel fills
    up from its top bit.
    """
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


def classes_by_number(num_classes: int) -> Classes:
    """Returns classes for a network of another origin that has no class names.

    A network of 21 classes gets VOC's classes. Any other network gets the names `class 0`,
    `class 1`, ... and VOC's colour map.
    """
    if num_classes == VOC.num_classes:
        return VOC
    names = tuple(f"class {index}" for index in range(num_classes))
    return Classes("unknown", names, voc_palette(num_classes))


def check_same_classes(model: Classes, data: Classes) -> None:
    """Raises `DeeplabError` where the model has other classes than the data set.

    The message names the first difference.
    """
    if model.names == data.names:
        return
    if len(model.names) != len(data.names):
        difference = f"{len(model.names)} classes against {len(data.names)}"
    else:
        index = next(i for i, name in enumerate(model.names) if name != data.names[i])
        difference = f"class {index} is {model.names[index]!r} against {data.names[index]!r}"
    raise DeeplabError(
        f"the model was trained on other classes ({model.dataset}) than the data set "
        f"{data.dataset} has: {difference}"
    )
