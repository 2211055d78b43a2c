"""The comparison of an artefact with the Keras model that it was made of, on real images."""

import dataclasses
import pathlib
import platform
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata

import keras
import numpy as np

from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import json_text, json_with
from deeplab_tf.images.classes import VOID
from deeplab_tf.images.confusion import Scores, confusion_matrix

from .images import ComparedImage
from .layer_noise import LayerNoise

THRESHOLDS = {"none": 0.999, "float16": 0.995, "dynamic": 0.98, "int8": 0.97}
"""The least share of equal labels, by `--quantize`."""
LARGEST_MEAN_IOU_LOSS = 0.01
"""The mean IoU, 0..1, that int8 may lose on labelled images; it replaces `THRESHOLDS` there."""
INT8 = ("dynamic", "int8")

is_report = json_with("artefact", "format", "label_agreement")
"""Recognises a report of `write_report`."""

ComparedImages = Iterable[ComparedImage]


@dataclasses.dataclass(frozen=True)
class Place:
    """The place of a logit: its image, row, column and class."""

    image: str
    row: int
    column: int
    class_index: int


@dataclasses.dataclass(frozen=True)
class ExportParity:
    """The agreement of two models.

    Attributes:
        images: how many images were compared.
        label_agreement: share of equal labels over all pixels, 0..1.
        largest_logit_difference: the largest difference over all pixels and classes, in logits;
            None where the artefact gives no logits.
        where: the place of the largest difference.
        mean_iou: the mean IoU, 0..1, of the Keras model and of the artefact on the labelled images;
            None where no image is labelled.
    """

    images: int
    label_agreement: float
    largest_logit_difference: float | None
    where: Place | None
    mean_iou: tuple[float, float] | None = None

    @property
    def mean_iou_loss(self) -> float | None:
        """The Keras model's mean IoU less the artefact's; None without labelled images."""
        return self.mean_iou and self.mean_iou[0] - self.mean_iou[1]


@dataclasses.dataclass(frozen=True)
class Export:
    """A published artefact.

    Attributes:
        artefact: the artefact's path.
        report: the path of its `parity.json`.
        size_bytes: the artefact's size.
        parity: the comparison with the Keras model.
        noisiest: the layers of a full int8 file that lose most; empty for other artefacts.
        calibration_images: how many images an int8 artefact was fitted to.
        calibration_images_compared: how many of the compared images are among these.
    """

    artefact: pathlib.Path
    report: pathlib.Path
    size_bytes: int
    parity: ExportParity
    noisiest: Sequence[LayerNoise] = ()
    calibration_images: int = 0
    calibration_images_compared: int = 0


def keras_logits(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from an image [1, H, W, bands] to logits, float32 [1, H, W, C]."""
    return lambda images: np.asarray(model(images, training=False))


def compare(
    reference: Callable[[np.ndarray], np.ndarray],
    artefact: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]],
    images: ComparedImages,
) -> ExportParity:
    """Runs the Keras model and the artefact on every image, one at a time, and compares them.

    Args:
        reference: the Keras model, from pixels [1, H, W, bands] to logits float32 [1, H, W, C].
        artefact: the artefact, from the same to labels [1, H, W] and logits, as its user gets them;
            the logits are None where it has only labels.
        images: the images; both sides see the same pixels.

    Raises:
        DeeplabError: there is no image, a logit is not finite, or a mask has other classes.
    """
    count = equal = pixels = 0
    largest, where = None, None
    matrices = None
    for picture in images:
        name, mask, inner = picture.name, picture.mask, picture.inner
        expected = reference(picture.image[None])
        labels, logits = artefact(picture.image[None])
        if inner is not None:  # both agree easily in the padding, which does not count
            part = np.s_[:, : inner[0], : inner[1]]
            expected, labels = expected[part], labels[part]
            logits = None if logits is None else logits[part]
            mask = None if mask is None else mask[part[1:]]
        if not np.isfinite(expected).all() or not (logits is None or np.isfinite(logits).all()):
            raise DeeplabError(
                f"the model's logits for image {name} are not finite; train the model anew"
            )
        expected_labels = np.argmax(expected, axis=-1)
        equal += int(np.sum(labels == expected_labels))
        pixels += labels.size
        if logits is not None:
            difference = np.abs(expected - logits)
            if largest is None or difference.max() > largest:
                place = np.unravel_index(np.argmax(difference), difference.shape)
                largest, where = float(difference.max()), Place(name, *map(int, place[1:]))
        if mask is not None and (mask != VOID).any():
            classes = expected.shape[-1]
            two = [confusion_matrix(mask, found[0], classes) for found in (expected_labels, labels)]
            matrices = np.add(two, 0 if matrices is None else matrices)
        count += 1
    if not count:
        raise DeeplabError(
            "there is no image to compare the export on; give --data_dir or --images"
        )
    return ExportParity(count, equal / pixels, largest, where, _mean_ious(matrices))


def _mean_ious(matrices: np.ndarray | None) -> tuple[float, float] | None:
    """Returns the mean IoU of the Keras model and of the artefact, by their matrices [2, C, C]."""
    if matrices is None:
        return None
    keras_model, artefact = (Scores.from_matrix(matrix).mean_iou for matrix in matrices)
    assert keras_model is not None and artefact is not None  # a labelled pixel is in some class
    return keras_model, artefact


def check(
    parity: ExportParity, quantize: str, artefact: str, noisiest: Sequence[LayerNoise] = ()
) -> None:
    """Raises `DeeplabError`, with the numbers, if the artefact is worse than allowed.

    int8 may lose `LARGEST_MEAN_IOU_LOSS` where images are labelled. Otherwise the labels must agree
    as much as `THRESHOLDS` asks.

    Args:
        parity: the measured agreement.
        quantize: the kind of artefact, a key of `THRESHOLDS`.
        artefact: the artefact's name in the message.
        noisiest: the layers of a full int8 file that lose most, which the message names.
    """
    shortfall = _shortfall(parity, quantize)
    if shortfall is None:
        return
    message = f"{artefact} is not published: {shortfall}"
    if noisiest:
        names = ", ".join(noise.layer for noise in noisiest)
        message += f"; the layers that lose most: {names}; keep some with --keep_float=LAYER"
    raise DeeplabError(message)


def _shortfall(parity: ExportParity, quantize: str) -> str | None:
    """Returns, in words, how the artefact is worse than allowed; None where it is not."""
    if quantize in INT8 and parity.mean_iou is not None:
        keras_model, found = parity.mean_iou
        if keras_model - found <= LARGEST_MEAN_IOU_LOSS:
            return None
        return (
            f"its mean IoU on {parity.images} images is {found:.4f}, the Keras model's "
            f"{keras_model:.4f}; an export may lose {LARGEST_MEAN_IOU_LOSS}"
        )
    if parity.label_agreement >= THRESHOLDS[quantize]:
        return None
    shortfall = (
        f"its labels agree with the Keras model's on {parity.label_agreement:.4%} of the pixels of "
        f"{parity.images} images, under {THRESHOLDS[quantize]:.1%}"
    )
    if parity.where is None:
        return shortfall
    difference = f"{parity.largest_logit_difference:.3g} in {parity.where.image}"
    return f"{shortfall}; largest logit difference {difference}"


def write_report(
    path: pathlib.Path,
    export: Export,
    *,
    format: str,
    quantize: str,
    output_stride: int,
    facts: dict | None = None,
    packages: Sequence[str] = (),
) -> None:
    """Writes `parity.json`: the comparison, what was compared and by which software.

    Args:
        path: the path of the report.
        export: the artefact and its comparison.
        format: the value of `--format`.
        quantize: the value of `--quantize`.
        output_stride: the network's output_stride.
        facts: further entries about the artefact.
        packages: further packages whose versions are given.
    """
    parity, where = export.parity, export.parity.where
    by_iou = quantize in INT8 and parity.mean_iou is not None
    report = {
        "artefact": export.artefact.name,
        "format": format,
        "quantize": quantize,
        "output_stride": output_stride,
        **(facts or {}),
        "size_bytes": export.size_bytes,
        "images": parity.images,
        "label_agreement": parity.label_agreement,
        "threshold": None if by_iou else THRESHOLDS[quantize],
        "largest_logit_difference": parity.largest_logit_difference,
        "largest_logit_difference_at": where and dataclasses.asdict(where),
        "mean_iou": parity.mean_iou
        and dict(zip(("keras", "artefact"), parity.mean_iou, strict=True)),
        "mean_iou_loss": parity.mean_iou_loss,
        "largest_mean_iou_loss": LARGEST_MEAN_IOU_LOSS if by_iou else None,
        "layers_that_lose_most": [dataclasses.asdict(noise) for noise in export.noisiest],
        "versions": software_versions(packages),
    }
    path.write_text(json_text(report))


def software_versions(besides: Sequence[str] = ()) -> dict[str, str]:
    """Returns the versions of Python and of the packages that made and ran the artefact."""
    packages = ("deeplab_tf", "tensorflow", "keras", "ai-edge-litert", "numpy", *besides)
    return {"python": platform.python_version()} | {
        name: metadata.version(name) for name in packages
    }
