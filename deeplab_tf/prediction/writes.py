"""What a prediction writes: the kinds of files, and what is done to the labels before.

The module imports no TensorFlow, as the flags of `deeplab-predict` need it.

Tested in tests/prediction/test_write_outputs.py.
"""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import Classes
from deeplab_tf.images.regions import (
    import_features,
    import_shapely,
    without_small_holes,
    without_small_regions,
)
from deeplab_tf.inference.wanted import Wanted

if TYPE_CHECKING:
    from deeplab_tf.inference.predictor import Predictor

KINDS = ("labels", "overlay", "probabilities", "confidence", "polygons", "areas")
"""What `--write` takes."""
FORMS = ("geojson", "labelme", "coco")
"""What `--polygons` takes."""
OF_ALL_IMAGES = ("areas", "coco")
"""The outputs that are one file for all images."""
OF_VIDEOS = ("labels", "overlay", "areas")
"""The outputs that a video can have."""


@dataclasses.dataclass(frozen=True)
class Writes:
    """What is written of each image.

    Attributes:
        kinds: some of `KINDS`.
        forms: some of `FORMS`, the files that polygons are written into.
        min_area: the fewest pixels of a region, see `without_small_regions`; 0: any.
        fill_holes: the fewest pixels of a hole, see `without_small_holes`; 0: any.
        simplify: the tolerance in pixels of the polygons, see `simplified`; 0: exact outlines.
    """

    kinds: tuple[str, ...] = ("labels", "overlay")
    forms: tuple[str, ...] = ("geojson",)
    min_area: int = 0
    fill_holes: int = 0
    simplify: float = 0.0

    @property
    def outputs(self) -> tuple[str, ...]:
        """Returns the kinds, with the forms of polygons in the place of `polygons`."""
        kinds = tuple(kind for kind in self.kinds if kind != "polygons")
        return kinds + (self.forms if "polygons" in self.kinds else ())

    @property
    def wanted(self) -> Wanted:
        """Returns how much the model is asked for."""
        if "probabilities" in self.kinds:
            return Wanted.PROBABILITIES
        return Wanted.CONFIDENCE if "confidence" in self.kinds else Wanted.LABELS

    @property
    def needs_regions(self) -> bool:
        """Returns whether the regions of the labels are needed."""
        return not {"polygons", "areas"}.isdisjoint(self.kinds)

    def check(self) -> None:
        """Raises `DeeplabError` where a library is not installed."""
        if self.needs_regions or self.min_area or self.fill_holes:
            import_features()
        if self.simplify:
            import_shapely()

    def check_model(self, predictor: "Predictor") -> None:
        """Raises `DeeplabError` where the model gives only labels, and probabilities are wanted.

        An image of 65 pixels a side goes through the network.
        """
        if self.wanted:
            wanted = predictor.image_format
            predictor.scores(np.zeros((1, 65, 65, wanted.bands), wanted.dtype))

    def refuse(self, where: str, allowed: tuple[str, ...], instead: str) -> None:
        """Raises `DeeplabError` for an output that is not among the `allowed` ones.

        Args:
            where: the subject of the message, such as `a video`.
            allowed: outputs.
            instead: what to do.
        """
        refused = [output for output in self.outputs if output not in allowed]
        if refused:
            raise DeeplabError(f"{where} has no {' or '.join(refused)}; {instead}")

    def tidy(self, labels: np.ndarray, classes: Classes) -> np.ndarray:
        """Returns labels, uint8 [H, W], without the small regions, then without the small holes."""
        if self.min_area > 1:
            labels = without_small_regions(labels, self.min_area)
        if self.fill_holes > 1:
            labels = without_small_holes(labels, self.fill_holes, classes)
        return labels
