"""Images larger than those of the training, which the network sees at its working size.

A network knows objects at the sizes that they had in its training. An image whose longer side is
above the working size is shrunk for the network, and the network's scores, not the labels, are
enlarged to the image's size. All other images go through the network as they are.
"""

import dataclasses
import pathlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from deeplab_tf.artefacts.saved_model import set_working_size, working_size_in
from deeplab_tf.config import EvaluateConfig, Experiment, Fit
from deeplab_tf.images.resampling import enlarge_labels, shrink_images

Result = TypeVar("Result")

Look = Callable[[np.ndarray], tuple[np.ndarray | None, np.ndarray | None]]
"""A network, from images [B, h, w, bands] to labels [B, h, w] and the scores [B, h, w, C] whose
argmax the labels are; one of the two may be None."""

Enlarge = Callable[[np.ndarray | None, Any, tuple[int, int]], np.ndarray]
"""A function from what a `Look` gives for shrunk images, and the images' own (height, width)."""


@dataclasses.dataclass(frozen=True)
class WorkingSize:
    """The sizes at which a network sees images.

    Attributes:
        longest: the longest side, in pixels, of the images that the network sees; None: any.
        unknown_above: where the model does not say how large its training images were, the side of
            its training crops, in pixels; longer images may be too large, and nobody knows.
        frame: (height, width) of the images that a LiteRT file takes where it takes only one size.
        in_training: whether a training evaluates the network, whose flags have other names.
    """

    longest: int | None = None
    unknown_above: int | None = None
    frame: tuple[int, int] | None = None
    in_training: bool = False

    def note_on(self, height: int, width: int) -> str | None:
        """Returns a line about images of this size; None where there is nothing to say."""
        longer = max(height, width)
        if self.frame is not None and (height > self.frame[0] or width > self.frame[1]):
            return (
                f"images larger than {self.frame[1]}x{self.frame[0]} pixels, the only size that "
                "the file takes, are shrunk to fit into it"
            )
        limits = (self.longest, self.unknown_above)
        return self.note if any(limit and longer > limit for limit in limits) else None

    def shrunk(self, images: np.ndarray) -> np.ndarray:
        """Returns images [B, H, W, bands] as the network sees them: none longer than `longest`."""
        if self.longest is None or max(images.shape[1:3]) <= self.longest:
            return images
        return shrink_images(images, self.longest)

    @property
    def note(self) -> str | None:
        """Returns a line about images that are too long; None where no image is."""
        flag = "--config.evaluate.working_size" if self.in_training else "--working_size"
        as_they_are = "0" if self.in_training else "none"
        if self.longest is not None:
            return (
                f"images longer than {self.longest} pixels are shrunk to {self.longest} for the "
                f"network and its scores are enlarged again; {flag}={as_they_are} leaves them as "
                "they are"
            )
        if self.unknown_above is not None:
            return (
                "the model does not say how large its training images were, so that no image is "
                f"shrunk; {flag}=N shrinks those longer than N pixels for the network"
            )
        return None


ANY_SIZE = WorkingSize()
"""The working size of a network that sees every image as it is."""


def working_size_of(experiment: Experiment, evaluate_config: EvaluateConfig) -> WorkingSize:
    """Returns the working size that the inference strategy and the training images give.

    `evaluate_config.working_size` decides where it is given. Images are seen as they are in windows
    and where the training images were tiles, since the scale of a pixel has a meaning there. A
    network that was trained on whole images, shrunk into the crop (`Fit.LETTERBOX`), has seen none
    whose longer side was above that of the crop.
    """
    given, trained = evaluate_config.working_size, experiment.data.longest_side
    if given is not None:
        return WorkingSize(given or None)
    if evaluate_config.window is not None:
        return WorkingSize()
    if trained is None:
        return WorkingSize(unknown_above=max(experiment.data.crop))
    if trained and experiment.data.fit is Fit.LETTERBOX:
        trained = min(trained, max(experiment.data.crop))
    return WorkingSize(trained or None)


def working_size_of_saved_model(
    loaded: Any, folder: pathlib.Path, experiment: Experiment, given: int | None
) -> WorkingSize:
    """Returns the working size of a SavedModel, which does the shrinking by itself.

    Args:
        loaded, folder, experiment: the SavedModel, its folder, and the experiment that it carries.
        given: the longest side, in pixels, that the SavedModel shall have from now on, 0 for any;
            None leaves it as exported.

    Raises:
        DeeplabError: the SavedModel is of an earlier version, which always shows its network all
            images as they are, and one is `given`.
    """
    if given is not None:
        set_working_size(loaded, folder, given)
    found = working_size_in(loaded)
    if found is None:
        return WorkingSize(unknown_above=max(experiment.data.crop))
    if found:
        # The SavedModel may be of a version that found another size for the same experiment.
        return WorkingSize(found)
    evaluate_config = experiment.evaluate
    if given is not None:
        evaluate_config = dataclasses.replace(evaluate_config, working_size=given)
    return working_size_of(experiment, evaluate_config)


def once(report: Callable[[str], None]) -> Callable[[str], None]:
    """Returns a function like `report` that reports only the first line that any thread gives."""
    free = threading.Lock()

    def report_first(line: str) -> None:
        if free.acquire(blocking=False):
            report(line)

    return report_first


def noting(
    predict: Callable[[np.ndarray], Result],
    working: WorkingSize,
    report: Callable[[str], None],
) -> Callable[[np.ndarray], Result]:
    """Returns a function like `predict` that reports, once, what becomes of larger images."""
    report = once(report)

    def predict_noting(images: np.ndarray) -> Result:
        note = working.note_on(images.shape[1], images.shape[2])
        if note:
            report(note)
        return predict(images)

    return predict_noting


def at_working_size(
    predict: Callable[[np.ndarray], np.ndarray],
    look: Look,
    longest: int | None,
    enlarge: Enlarge = enlarge_labels,
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function like `predict` for images of any size, of which the network sees at most
    `longest` pixels a side.

    Labels need no more memory than the images: the enlarged scores are never whole.

    Args:
        predict: a function from images [B, H, W, bands] to labels, uint8 [B, H, W], for images that
            are not longer.
        look: the same network, for the shrunk images.
        longest: the working size in pixels; None leaves all images to `predict`.
        enlarge: makes the result of what `look` gives.
    """
    if longest is None:
        return predict

    def predict_any(images: np.ndarray) -> np.ndarray:
        height, width = images.shape[1:3]
        if max(height, width) <= longest:
            return predict(images)
        labels, scores = look(shrink_images(images, longest))
        return enlarge(labels, scores, (height, width))

    return predict_any
