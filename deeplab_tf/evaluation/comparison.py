"""Two evaluations on the same images: their differences, and the images that changed most.

Tested in tests/evaluation/test_compare.py, through `compare`.
"""

import dataclasses
from collections.abc import Sequence

from deeplab_tf.evaluation.bootstrap import Difference, differences
from deeplab_tf.evaluation.evaluated import Evaluated, check_same_images
from deeplab_tf.evaluation.image_counts import ImageCounts
from deeplab_tf.images.confusion import percent

CHANGED = 10
"""The most images that are listed as better, and as worse."""


@dataclasses.dataclass(frozen=True)
class ChangedImage:
    """An image with its figures by two runs.

    Attributes:
        name: the id of the image.
        before, after: mean IoU over the classes in its truth, 0..1.
        class_name: the class whose IoU in the image changed most.
        class_before, class_after: its IoU; 0 where the class is in neither truth nor prediction
            of that run.
    """

    name: str
    before: float
    after: float
    class_name: str
    class_before: float
    class_after: float

    @property
    def change(self) -> float:
        """Returns `after - before`."""
        return self.after - self.before


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        before, after: the results, of the run that is compared with and of this run.
        mean_iou: the difference of mean IoU.
        classes: the difference of the IoU of each class.
        better, worse: the images that changed most, the largest change first.
    """

    before: Evaluated
    after: Evaluated
    mean_iou: Difference
    classes: list[Difference]
    better: list[ChangedImage]
    worse: list[ChangedImage]

    @property
    def notes(self) -> list[str]:
        """Returns a line for each of the two whose run has later weights than the evaluated ones.

        Raises:
            DeeplabError: as `Evaluated.note` does.
        """
        return [note for one in (self.before, self.after) if (note := one.note)]


def compared(before: Evaluated, after: Evaluated) -> Comparison:
    """Returns the comparison of two results; raises `DeeplabError` as `check_same_images` does."""
    check_same_images(before, after)
    mean_iou, classes = differences(before.images, after.images, len(before.names))
    changed = [
        _changed(first, second, before.names)
        for first, second in zip(before.images, after.images, strict=True)
    ]
    known = [image for image in changed if image is not None]
    better = sorted((i for i in known if i.change > 0), key=lambda i: (-i.change, i.name))
    worse = sorted((i for i in known if i.change < 0), key=lambda i: (i.change, i.name))
    return Comparison(before, after, mean_iou, classes, better[:CHANGED], worse[:CHANGED])


def _changed(before: ImageCounts, after: ImageCounts, names: Sequence[str]) -> ChangedImage | None:
    if before.mean_iou is None or after.mean_iou is None:
        return None  # all void
    first, second = _iou_by_class(before), _iou_by_class(after)
    both = sorted(first.keys() | second.keys())
    most = max(both, key=lambda class_id: abs(second.get(class_id, 0) - first.get(class_id, 0)))
    return ChangedImage(
        before.name,
        before.mean_iou,
        after.mean_iou,
        names[most],
        first.get(most, 0.0),
        second.get(most, 0.0),
    )


def _iou_by_class(image: ImageCounts) -> dict[int, float]:
    return dict(zip(image.classes.tolist(), image.iou.tolist(), strict=True))


def changes_of(images: Sequence[ChangedImage]) -> list[list[str]]:
    """Returns the cells of a table of images: name, mean IoU before and after, change, class."""
    return [
        [
            image.name,
            *(percent(value, "") for value in (image.before, image.after)),
            signed(image.change),
            f"{image.class_name} {percent(image.class_before, '')} to "
            f"{percent(image.class_after, '')}",
        ]
        for image in images
    ]


def interval(difference: Difference) -> str:
    """Returns the interval in per cent, as `-0.51 to +1.20`; `-` where there is none."""
    if difference.low is None:
        return "-"
    return f"{signed(difference.low)} to {signed(difference.high)}"


def signed(share: float | None) -> str:
    """Returns a change in points with its sign, as `+1.20`; `-` where there is none."""
    return "-" if share is None else f"{100 * share:+.2f}"
