"""The result of an evaluation: counts of all images, and the figures that follow.

Tested in tests/evaluation/test_evaluate.py, through `evaluate_split`.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from deeplab_tf.evaluation.boundary import boundary_iou, mean_of_present
from deeplab_tf.evaluation.calibration import Calibration
from deeplab_tf.evaluation.image_counts import ImageCounts, in_order
from deeplab_tf.evaluation.tally import Tally
from deeplab_tf.evaluation.worst import Kept, Rank, worst_by_class
from deeplab_tf.images.confusion import Scores

WORST_CLASSES = 24
"""The most classes, those with the lowest IoU, whose worst images are shown."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """One example for the report.

    Attributes:
        name: the id of the example.
        image: a picture to look at, uint8 [H, W, 3].
        mask, labels: the ground truth and the prediction, uint8 [H, W].
    """

    name: str
    image: np.ndarray
    mask: np.ndarray
    labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    Attributes:
        matrix: int64 [C, C] over all images; rows are true classes, columns predicted classes.
        images: the number of images.
        samples: up to `SAMPLES` examples, spread over the split.
        by_image: the counts of each image, by name.
        calibration: the confidences against the truth; None where the model gives labels only, or
            details are left out.
        sizes: the sum of `object_counts`, int64 [C, GROUPS, 3]; None where details are left out.
        worst: for the classes that are shown, the lowest IoU first, their worst images.
        kept: the pictures of these images by name.
    """

    matrix: np.ndarray
    images: int
    samples: tuple[Sample, ...]
    by_image: tuple[ImageCounts, ...] = ()
    calibration: Calibration | None = None
    sizes: np.ndarray | None = None
    worst: dict[int, list[Rank]] = dataclasses.field(default_factory=dict)
    kept: dict[str, Kept] = dataclasses.field(default_factory=dict)

    @property
    def scores(self) -> Scores:
        """Returns the figures of `matrix`."""
        return Scores.from_matrix(self.matrix)

    @property
    def boundary_iou(self) -> tuple[float | None, ...] | None:
        """Returns the boundary IoU of each class, 0..1, None for a class that is absent.

        None stands for all where details are left out.
        """
        if self.sizes is None:
            return None
        counts = np.zeros((len(self.matrix), 3), np.int64)
        for image in self.by_image:
            counts[image.classes] += image.counts[:, 3:]
        return boundary_iou(counts)

    @property
    def more_figures(self) -> dict[str, float | None]:
        """Returns the figures over all classes beyond those of the matrix, 0..1, by title."""
        more = {}
        if self.boundary_iou is not None:
            more["mean boundary IoU"] = mean_of_present(self.boundary_iou)
        if self.calibration is not None:
            more["calibration error"] = self.calibration.error
        return more


def make_evaluation(
    tally: Tally,
    samples: tuple[Sample, ...],
    by_image: list[ImageCounts],
    details: bool,
    pictures: Callable[[set[str]], dict[str, Kept]],
) -> Evaluation:
    """Returns the evaluation of all images.

    Args:
        tally: the sums over the images.
        samples: the examples for the report.
        by_image: the counts of each image, in any order.
        details: whether boundaries, confidences and objects were counted.
        pictures: a function from the names of images to their pictures.
    """
    by_image = in_order(by_image)
    found = worst_by_class(by_image)
    iou = {
        class_id: score.iou
        for class_id, score in enumerate(Scores.from_matrix(tally.matrix).classes)
        if score.iou is not None and class_id in found
    }
    shown = sorted(iou, key=lambda class_id: (iou[class_id], class_id))[:WORST_CLASSES]
    worst = {class_id: found[class_id] for class_id in shown}
    names = {name for ranks in worst.values() for _, _, name in ranks}
    has_confidence = bool(tally.calibration.any())
    return Evaluation(
        tally.matrix,
        tally.images,
        samples,
        tuple(by_image),
        Calibration.of(tally.calibration) if has_confidence else None,
        tally.sizes if details else None,
        worst,
        pictures(names),
    )
