"""Whether an artefact answers as the Keras model it was made of, in numbers, on real images."""

import dataclasses
import json
import pathlib
import platform
from collections.abc import Callable, Iterable
from importlib import metadata

import keras
import numpy as np

from deeplab_tf.errors import DeeplabError

THRESHOLDS = {"none": 0.999, "float16": 0.995}
"""The least share of equal labels, by `--quantize`."""

Images = Iterable[tuple[str, np.ndarray]]
"""(name, uint8 [H, W, 3]) pairs."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a logit is: in which image, and at which row, column and class."""

    image: str
    row: int
    column: int
    class_index: int


@dataclasses.dataclass(frozen=True)
class Parity:
    """How far two models agree.

    Attributes:
        images: how many were compared.
        label_agreement: share of equal labels over all pixels, 0..1.
        largest_logit_difference: over all pixels and classes, in logits.
        where: the place of that difference.
    """

    images: int
    label_agreement: float
    largest_logit_difference: float
    where: Place


@dataclasses.dataclass(frozen=True)
class Export:
    """A published artefact: its path, `parity.json`'s path, its size and its parity."""

    artefact: pathlib.Path
    report: pathlib.Path
    size_bytes: int
    parity: Parity


def keras_logits(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """uint8 [1, H, W, 3] -> float32 [1, H, W, C] by the Keras model itself."""
    return lambda images: np.asarray(model(images, training=False))


def compare(
    reference: Callable[[np.ndarray], np.ndarray],
    artefact: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    images: Images,
) -> Parity:
    """Runs both on every image, one at a time.

    Args:
        reference: uint8 [1, H, W, 3] -> logits float32 [1, H, W, C].
        artefact: the same -> labels [1, H, W] and logits, as its user gets them.
        images: both sides see the same pixels.

    Raises:
        DeeplabError: there is no image, or a logit is not finite.
    """
    count = equal = pixels = 0
    largest, where = -1.0, None
    for name, image in images:
        expected = reference(image[None])
        labels, logits = artefact(image[None])
        if not (np.isfinite(expected).all() and np.isfinite(logits).all()):
            raise DeeplabError(f"the model's logits for image {name} are not finite; train it anew")
        equal += int(np.sum(labels == np.argmax(expected, axis=-1)))
        pixels += labels.size
        difference = np.abs(expected - logits)
        _, row, column, channel = np.unravel_index(np.argmax(difference), difference.shape)
        if difference.max() > largest:
            largest = float(difference.max())
            where = Place(name, int(row), int(column), int(channel))
        count += 1
    if where is None:
        raise DeeplabError(
            "there is no image to compare the export on; give --data_dir or --images"
        )
    return Parity(count, equal / pixels, largest, where)


def check(parity: Parity, quantize: str, artefact: str) -> None:
    """Raises `DeeplabError` with the numbers if the labels agree less than `THRESHOLDS` asks."""
    if parity.label_agreement < THRESHOLDS[quantize]:
        raise DeeplabError(
            f"{artefact} is not published: its labels agree with the Keras model's on "
            f"{parity.label_agreement:.4%} of the pixels of {parity.images} images, under "
            f"{THRESHOLDS[quantize]:.1%}; largest logit difference "
            f"{parity.largest_logit_difference:.3g} in {parity.where.image}"
        )


def write_report(
    path: pathlib.Path, export: Export, *, format: str, quantize: str, output_stride: int
) -> None:
    """Writes `parity.json`: the comparison, what was compared and by which software."""
    parity, where = export.parity, export.parity.where
    report = {
        "artefact": export.artefact.name,
        "format": format,
        "quantize": quantize,
        "output_stride": output_stride,
        "size_bytes": export.size_bytes,
        "images": parity.images,
        "label_agreement": parity.label_agreement,
        "threshold": THRESHOLDS[quantize],
        "largest_logit_difference": parity.largest_logit_difference,
        "largest_logit_difference_at": dataclasses.asdict(where),
        "versions": software_versions(),
    }
    path.write_text(json.dumps(report, indent=2) + "\n")


def software_versions() -> dict[str, str]:
    """Of Python and of the packages that made and ran the artefact."""
    packages = ("deeplab_tf", "tensorflow", "keras", "ai-edge-litert", "numpy")
    return {"python": platform.python_version()} | {
        name: metadata.version(name) for name in packages
    }
