"""The archive that VOC's test server takes, checked before it is there."""

import pathlib
import tarfile

import numpy as np
from PIL import Image, ImageOps

from deeplab_tf.data.labels import VOC, LabelSet
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.evaluation.image_files import output_paths
from deeplab_tf.files import whole_file

FOLDER = "results/VOC2012/Segmentation/comp6_test_cls"
"""comp6: trained on any data but VOC's test set, which pretraining on COCO makes this."""


def check_classes(labels: LabelSet) -> None:
    """Raises `DeeplabError` for a model that does not predict VOC's classes."""
    if labels.names != VOC.names:
        raise DeeplabError(
            f"a submission needs VOC's {VOC.num_classes} classes, and this model has the "
            f"{labels.num_classes} of {labels.dataset}"
        )


def write_submission(
    images: list[pathlib.Path], predictions: pathlib.Path, archive: pathlib.Path
) -> None:
    """Packs the labels of `images` from the folder `predictions` into a `.tar.gz`, and checks it.

    Args:
        images: those of the id list, whose names without suffix are the ids.
        predictions: has ID.png for each, as `predict_images` writes it.
        archive: written beside, read again and checked, then renamed.

    Raises:
        DeeplabError: a prediction is missing or is not what the server takes.
    """
    with whole_file(archive) as beside:
        with tarfile.open(beside, "w:gz") as tar:
            for image in images:
                labels, _ = output_paths(image, predictions)
                if not labels.is_file():
                    raise DeeplabError(f"{labels}, the prediction of {image}, does not exist")
                tar.add(labels, f"{FOLDER}/{image.stem}.png")
        check_submission(beside, images)


def check_submission(archive: pathlib.Path, images: list[pathlib.Path]) -> None:
    """Checks that `archive` has one fitting PNG for each of `images` and nothing else.

    Fitting: indexed, of the image's own (upright) size, with VOC's palette and classes 0 to 20.

    Raises:
        DeeplabError: names the first member that is missing, superfluous or does not fit.
    """
    expected = {f"{FOLDER}/{image.stem}.png": image for image in images}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            names = [member.name for member in tar]
            if sorted(names) != sorted(expected):
                wrong = sorted(set(names) ^ set(expected)) or ["a name that comes twice"]
                raise DeeplabError(
                    f"{archive} has {len(names)} members for {len(expected)} images; the first "
                    f"that does not belong or is missing: {wrong[0]}"
                )
            for name, image in expected.items():
                member = tar.extractfile(name)
                if member is None:
                    raise DeeplabError(f"{name} in {archive} must be a file")
                with Image.open(member) as labels, Image.open(image) as photo:
                    _check_member(name, labels, ImageOps.exif_transpose(photo).size)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DeeplabError(f"{archive} cannot be read: {one_line(str(error))}") from error


def _check_member(name: str, labels: Image.Image, size: tuple[int, int]) -> None:
    if labels.mode != "P":
        raise DeeplabError(f"{name} must be an indexed PNG. Received: mode {labels.mode}")
    if labels.size != size:
        raise DeeplabError(f"{name} must be {size} pixels, as its image. Received: {labels.size}")
    colors = VOC.flat_palette()[: 3 * VOC.num_classes]
    if (labels.getpalette() or [])[: len(colors)] != colors:
        raise DeeplabError(f"{name} must have VOC's palette")
    largest = int(np.asarray(labels).max())
    if largest >= VOC.num_classes:
        raise DeeplabError(f"{name} must have classes 0 to 20. Received: {largest}")
