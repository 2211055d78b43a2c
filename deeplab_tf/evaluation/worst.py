"""The images in which each class does worst, kept as small pictures while a split is evaluated.

An image is the worse for a class, the more wrong pixels it has of it, missed or wrongly seen: these
are what the class's IoU over all images loses. (By the IoU in the image alone, a few pixels wrongly
seen where the class is not would be the worst that can be.) The `Worst` of the parts of a split
make that of the split by `merge`, whatever the parts.
"""

import bisect
import dataclasses
import io
from collections.abc import Callable, Iterable

import numpy as np
from PIL import Image

from deeplab_tf.evaluation.image_counts import ImageCounts

KEPT = 10
"""The images of each class."""
SIDE = 400
"""The longest side of a kept picture, in pixels."""
Rank = tuple[int, float, str]
"""Minus the wrong pixels of a class in an image, its IoU, and the name: the least is the worst."""


@dataclasses.dataclass(frozen=True)
class Kept:
    """A small picture of an image with its truth and prediction.

    Attributes:
        picture: a JPEG.
        mask, labels: PNGs of class ids, of the picture's size.
    """

    picture: bytes
    mask: bytes
    labels: bytes

    @classmethod
    def of(cls, view: np.ndarray, mask: np.ndarray, labels: np.ndarray) -> "Kept":
        """Makes the pictures of a picture to look at, uint8 [H, W, 3], and two maps [H, W]."""
        picture = Image.fromarray(view)
        picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        encoded = io.BytesIO()
        picture.save(encoded, "JPEG", quality=85)
        return cls(encoded.getvalue(), *(_small_png(x, picture.size) for x in (mask, labels)))


def _small_png(labels: np.ndarray, size: tuple[int, int]) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(labels).resize(size, Image.Resampling.NEAREST).save(encoded, "PNG")
    return encoded.getvalue()


class Worst:
    """The `KEPT` worst images of every class.

    Attributes:
        kept: the pictures of all of them by name.
        ranks: the ranks of each class's worst images, the worst first.
    """

    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}
        self.ranks: dict[int, list[Rank]] = {}

    def add(self, image: ImageCounts, make: Callable[[], Kept]) -> None:
        """Takes an image in where it is among the worst; `make` is called only then."""
        if any([self.insert(class_id, rank) for class_id, rank in ranks_of(image)]):
            self.kept[image.name] = make()
            self._forget()

    def merge(self, other: "Worst") -> None:
        """Takes in all images of `other`."""
        self.kept |= other.kept
        for class_id, ranks in other.ranks.items():
            for rank in ranks:
                self.insert(class_id, rank)
        self._forget()

    def insert(self, class_id: int, rank: Rank) -> bool:
        """Takes a rank in where it is among the worst of the class, and returns whether it is."""
        ranks = self.ranks.setdefault(class_id, [])
        if len(ranks) == KEPT and rank >= ranks[-1]:
            return False
        bisect.insort(ranks, rank)
        del ranks[KEPT:]
        return True

    def _forget(self) -> None:
        names = {name for ranks in self.ranks.values() for _, _, name in ranks}
        self.kept = {name: kept for name, kept in self.kept.items() if name in names}


def ranks_of(image: ImageCounts) -> list[tuple[int, Rank]]:
    """Returns (class, rank) for each class of the image that is not wholly right."""
    wrong = image.union - image.counts[:, 0]
    return [
        (class_id, (-pixels, iou, image.name))
        for class_id, pixels, iou in zip(
            image.classes.tolist(), wrong.tolist(), image.iou.tolist(), strict=True
        )
        if pixels
    ]


def worst_by_class(images: Iterable[ImageCounts]) -> dict[int, list[Rank]]:
    """Returns the `KEPT` worst images of each class, the worst first."""
    found = Worst()
    for image in images:
        for class_id, rank in ranks_of(image):
            found.insert(class_id, rank)
    return found.ranks
