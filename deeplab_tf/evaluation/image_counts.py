"""The counts of one image, from which its figures and those of any set of images follow.

Tested in tests/evaluation/test_image_tables.py.
"""

import dataclasses
import json

import numpy as np

from deeplab_tf.images.classes import VOID

COLUMNS = ("intersection", "truth", "predicted")
BOUNDARY_COLUMNS = ("boundary_intersection", "boundary_truth", "boundary_predicted")


@dataclasses.dataclass(frozen=True)
class ImageCounts:
    """The pixels of an image by class.

    Attributes:
        name: the id of the image.
        height, width: its size in pixels.
        void: the number of void pixels in the truth.
        classes: int64 [K], the classes in truth or prediction, ascending; void pixels count for
            neither.
        counts: int64 [K, 3], the `COLUMNS` of each of the classes; [K, 6] with those of
            `BOUNDARY_COLUMNS`.
    """

    name: str
    height: int
    width: int
    void: int
    classes: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(
        cls, name: str, mask: np.ndarray, matrix: np.ndarray, boundary: np.ndarray | None
    ) -> "ImageCounts":
        """Makes the counts of an image.

        Args:
            name: the id of the image.
            mask: the ground truth, uint8 [H, W].
            matrix: the confusion matrix, int64 [C, C].
            boundary: the result of `boundary_counts`; None where there is none.
        """
        counts = np.stack([np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)], axis=-1)
        if boundary is not None:
            counts = np.concatenate([counts, boundary], axis=1)
        classes = np.flatnonzero(counts[:, 1] + counts[:, 2])
        void = int(np.count_nonzero(mask == VOID))
        return cls(name, mask.shape[0], mask.shape[1], void, classes, counts[classes])

    @property
    def iou(self) -> np.ndarray:
        """Returns the IoU of each of `classes`, float64 [K], 0..1."""
        return self.counts[:, 0] / self.union

    @property
    def union(self) -> np.ndarray:
        """Returns the union of truth and prediction of each of `classes`, int64 [K]."""
        return self.counts[:, 1] + self.counts[:, 2] - self.counts[:, 0]

    @property
    def mean_iou(self) -> float | None:
        """Returns the mean IoU over the classes in the truth; None where all pixels are void.

        A class that is only in the prediction lowers the IoU of those whose pixels it takes. With
        an IoU of 0 of its own, a few wrong pixels of it would halve the figure of an image.
        """
        true = self.counts[:, 1] > 0
        return float(self.iou[true].mean()) if true.any() else None

    @property
    def pixel_accuracy(self) -> float | None:
        """Returns correct pixels / pixels that are not void; None where all are void."""
        known = int(self.counts[:, 1].sum())
        return int(self.counts[:, 0].sum()) / known if known else None

    def to_json(self) -> str:
        """Returns one line that `from_json` reads."""
        fields = dataclasses.asdict(self) | {
            "classes": self.classes.tolist(),
            "counts": self.counts.tolist(),
            "columns": self.counts.shape[1],
        }
        return json.dumps(fields)

    @classmethod
    def from_json(cls, line: str) -> "ImageCounts":
        """Reads a line of `to_json`."""
        fields = json.loads(line)
        classes = np.array(fields.pop("classes"), np.int64)
        columns = fields.pop("columns")  # which an image that is all void does not show
        counts = np.array(fields.pop("counts"), np.int64).reshape(len(classes), columns)
        return cls(classes=classes, counts=counts, **fields)


def in_order(images: list[ImageCounts]) -> list[ImageCounts]:
    """Returns the images by name, in the one order that does not depend on who counted them."""
    return sorted(images, key=lambda image: (image.name, image.to_json()))
