"""The archive that VOC's test server takes, checked before it gets its name."""

import pathlib
import tarfile
import zlib

import numpy as np
from PIL import Image

from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.files import check_file, whole_file
from deeplab_tf.images.classes import VOC, Classes
from deeplab_tf.images.files import read_pixels
from deeplab_tf.images.picture import open_picture
from deeplab_tf.prediction.outputs import image_outputs, is_geotiff

FOLDER = "results/VOC2012/Segmentation/comp6_test_cls"
"""The folder in the archive. VOC's competition comp6 is for models trained on any data but VOC's
test set; a model pretrained on COCO belongs there."""


def is_submission(path: pathlib.Path) -> bool:
    """Recognises an archive of `write_submission`, by its first member, which has no owner's name.

    Other programs' archives have the name of the user who packed them.
    """
    try:
        with tarfile.open(path, "r:gz") as tar:
            first = tar.next()
    except (tarfile.TarError, EOFError, OSError, zlib.error):
        return False
    return first is not None and first.name.startswith(f"{FOLDER}/") and not first.uname


def check_archive(path: pathlib.Path) -> None:
    """Raises `DeeplabError` where the submission `path` would replace another file."""
    check_file(path, is_submission)


def check_classes(classes: Classes) -> None:
    """Raises `DeeplabError` for a model that does not predict VOC's classes in its colours."""
    if (classes.names, classes.palette) != (VOC.names, VOC.palette):
        raise DeeplabError(
            f"a submission needs VOC's {VOC.num_classes} classes and palette, and this model has "
            f"the {classes.num_classes} classes of {classes.dataset}"
        )


def write_submission(
    images: list[pathlib.Path], predictions: pathlib.Path, archive: pathlib.Path
) -> None:
    """Packs the labels of `images` from the folder `predictions` into a `.tar.gz`, and checks it.

    Args:
        images: the images of the id list; the ids are their names without suffix.
        predictions: a folder with ID.png for each image, as `predict_images` writes it.
        archive: the path of the `.tar.gz`, which is written to a temporary file, read again and
            checked, then renamed.

    Raises:
        DeeplabError: a prediction is missing, or is no file that the server takes.
    """
    with whole_file(archive, is_submission) as temporary:
        with tarfile.open(temporary, "w:gz") as tar:
            for image in images:
                geo = is_geotiff(image)
                labels = image_outputs(image.stem, geo, predictions, ["labels"])["labels"]
                if not labels.is_file():
                    raise DeeplabError(f"{labels}, the prediction of {image}, does not exist")
                tar.add(labels, f"{FOLDER}/{image.stem}.png", filter=_anonymous)
        check_submission(temporary, images, archive)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Returns `member` without the name of the user who packs the archive."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def check_submission(
    archive: pathlib.Path, images: list[pathlib.Path], name: pathlib.Path | None = None
) -> None:
    """Checks that `archive` has one fitting PNG for each of `images` and nothing else.

    A fitting PNG is indexed, of the image's own (upright) size, with VOC's palette and classes 0 to
    20.

    Args:
        archive: the `.tar.gz`.
        images: the images of the id list.
        name: the name of the archive in errors, where the archive is to be renamed; None: its own.

    Raises:
        DeeplabError: a member is missing, superfluous or does not fit; the message names the first.
    """
    name = name or archive
    expected = {f"{FOLDER}/{image.stem}.png": image for image in images}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            packed = {member.name: _read(tar, member) for member in tar}
            count = len(tar.getnames())
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DeeplabError(f"{name} cannot be read: {one_line(str(error))}") from error
    wrong = sorted(packed.keys() ^ expected.keys())
    if wrong or count != len(expected):
        raise DeeplabError(
            f"{name} has {count} members for {len(expected)} images; the first member that does "
            f"not belong, is missing or comes twice: {wrong[0] if wrong else next(iter(expected))}"
        )
    for member, image in expected.items():
        size = read_pixels(image).shape[1::-1]
        try:
            labels = open_picture(packed[member], ("PNG",))
            labels.load()
        except (OSError, SyntaxError) as error:
            raise DeeplabError(f"{member} in {name} is no whole PNG") from error
        _check_member(member, labels, size)


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Returns a member's bytes; the labels of all 1,456 images are only a few megabytes."""
    file = tar.extractfile(member)
    return file.read() if file is not None else b""


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
