"""The embedded data set: drawn shapes, written as a VOCdevkit so that they take VOC's road."""

import os
import shutil
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from deeplab_tf.data.draw_shapes import Example, draw_example
from deeplab_tf.data.labels import SHAPES
from deeplab_tf.errors import DeeplabError

TRAIN_IMAGES, VAL_IMAGES = 500, 100
JPEG_QUALITY = 92


def write_shapes_devkit(
    root: str | Path, train: int = TRAIN_IMAGES, val: int = VAL_IMAGES, seed: int = 0
) -> None:
    """Draws the data set into the new folder `root`, laid out as VOCdevkit is.

    Equal arguments give equal files, and image i of a split does not depend on how many there are.
    The folder appears when it is complete.

    Args:
        root: becomes the VOCdevkit; must not exist.
        train, val: images of each split.
        seed: of everything drawn.

    Raises:
        DeeplabError: `root` exists.
    """
    root = Path(root)
    if root.exists():
        raise DeeplabError(f"folder {root} exists; remove it to draw the shapes there")
    staging = root.with_name(f"{root.name}.incomplete")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        folder = staging / "VOC2012"
        for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
            (folder / name).mkdir(parents=True)
        names = {"train": [], "val": []}
        plan = [("train", i) for i in range(train)] + [("val", i) for i in range(val)]
        for split, index in tqdm(plan, desc="draw shapes", unit="image", disable=None):
            name = f"{split}_{index:04d}"
            example = draw_example((seed, ("train", "val").index(split), index))
            _write_example(folder, name, example)
            names[split].append(name)
        for split, listed in (*names.items(), ("trainval", names["train"] + names["val"])):
            lines = "".join(f"{name}\n" for name in listed)
            (folder / "ImageSets" / "Segmentation" / f"{split}.txt").write_text(lines)
        os.replace(staging, root)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write_example(folder: Path, name: str, example: Example) -> None:
    """A JPEG and a palette PNG, as in VOC."""
    Image.fromarray(example.image).save(folder / "JPEGImages" / f"{name}.jpg", quality=JPEG_QUALITY)
    mask = Image.fromarray(example.mask)
    mask.putpalette(SHAPES.flat_palette())
    mask.save(folder / "SegmentationClass" / f"{name}.png")
