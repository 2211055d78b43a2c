"""One image judged, and the sums over many, which are the same whoever adds them up.

Tested in tests/evaluation/test_evaluate.py and tests/evaluation/test_several_devices.py, through
`evaluate_split`.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from deeplab_tf.evaluation.boundary import boundary_counts
from deeplab_tf.evaluation.calibration import BINS, calibration_counts
from deeplab_tf.evaluation.image_counts import ImageCounts
from deeplab_tf.evaluation.object_sizes import GROUPS, object_counts
from deeplab_tf.evaluation.worst import Kept, Worst


@dataclasses.dataclass(frozen=True)
class Judged:
    """The counts of one image.

    Attributes:
        image: the counts by class.
        matrix: the confusion matrix, int64 [C, C].
        calibration: the result of `calibration_counts`; None without confidences.
        sizes: the result of `object_counts`; None where details are left out.
    """

    image: ImageCounts
    matrix: np.ndarray
    calibration: np.ndarray | None
    sizes: np.ndarray | None


def judge(
    name: str,
    mask: np.ndarray,
    labels: np.ndarray,
    matrix: np.ndarray,
    confidence: np.ndarray | None,
    details: bool,
) -> Judged:
    """Counts one image.

    Args:
        name: the id of the image.
        mask: the ground truth, uint8 [H, W].
        labels: the prediction, uint8 [H, W].
        matrix: their confusion matrix, int64 [C, C].
        confidence: uint16 [H, W], with 65535 for 1; None where there is none.
        details: whether to count boundaries, confidences and objects.
    """
    if not details:
        return Judged(ImageCounts.of(name, mask, matrix, None), matrix, None, None)
    classes = len(matrix)
    image = ImageCounts.of(name, mask, matrix, boundary_counts(mask, labels, classes))
    sure = None if confidence is None else calibration_counts(mask, labels, confidence)
    return Judged(image, matrix, sure, object_counts(mask, labels, classes))


class Tally:
    """The sums over images.

    Attributes:
        images: the number of images.
        matrix, calibration, sizes: the sums of those of `Judged`, zeros where none was counted.
        worst: the images in which each class does worst.
    """

    def __init__(self, num_classes: int):
        self.images = 0
        self.matrix = np.zeros((num_classes, num_classes), np.int64)
        self.calibration = np.zeros((BINS, 3), np.int64)
        self.sizes = np.zeros((num_classes, GROUPS, 3), np.int64)
        self.worst = Worst()

    def add(self, judged: Judged, make: Callable[[], Kept]) -> None:
        """Adds one image; `make` makes its pictures, where they are to be kept."""
        self.images += 1
        self.matrix += judged.matrix
        if judged.calibration is not None:
            self.calibration += judged.calibration
        if judged.sizes is not None:
            self.sizes += judged.sizes
        self.worst.add(judged.image, make)

    def merge(self, other: "Tally") -> None:
        """Adds all images of `other`."""
        self.images += other.images
        self.matrix += other.matrix
        self.calibration += other.calibration
        self.sizes += other.sizes
        self.worst.merge(other.worst)
