"""CamVid as the SegNet tutorial publishes it: 11 classes, and 11 for void in the files."""

from pathlib import Path

from deeplab_tf.data.sources.masks import IndexMask, plain_values
from deeplab_tf.data.sources.source import Pair, Source
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import CAMVID

FILE_VALUES = plain_values(CAMVID.num_classes, void=11)
SPLITS = ("train", "val", "test")


def camvid_source(root: str | Path) -> Source:
    """Returns CamVid with those of the splits train, val and test whose folder exists.

    The images of a split are in a folder such as `train/`, the masks in `trainannot/`.

    Args:
        root: the folder that has `train` and `trainannot`, or a folder that holds it as `CamVid`.

    Raises:
        DeeplabError: `root` is not such a folder, a split has no image, or a mask has no image.
    """
    folder = _find_folder(Path(root))
    splits = {name: _pairs(folder, name) for name in SPLITS if (folder / name).is_dir()}
    return Source(CAMVID, splits)


def _find_folder(root: Path) -> Path:
    if not root.is_dir():
        raise DeeplabError(
            f"source folder {root} does not exist; give the CamVid folder of the SegNet tutorial"
        )
    for folder in (root, root / "CamVid"):
        if (folder / "train").is_dir():
            return folder
    raise DeeplabError(
        f"source folder {root} has no train/ and trainannot/; give the CamVid folder of the SegNet "
        f"tutorial"
    )


def _pairs(folder: Path, split: str) -> list[Pair]:
    images, masks = folder / split, folder / f"{split}annot"
    names = sorted(path.name for path in images.glob("*.png"))
    if not names:
        raise DeeplabError(f"{images} has no PNG images; add them or remove the folder")
    lone = sorted({path.name for path in masks.glob("*.png")} - set(names))
    if lone:
        raise DeeplabError(
            f"mask {masks / lone[0]} has no image {images / lone[0]}; add the image or remove the "
            "mask"
        )
    return [
        Pair(Path(name).stem, images / name, IndexMask(masks / name, FILE_VALUES)) for name in names
    ]
