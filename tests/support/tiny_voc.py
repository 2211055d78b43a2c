"""A VOCdevkit of a few random pictures, for tests to break."""

import pathlib

import numpy as np
from PIL import Image

from deeplab_tf.images.classes import VOC


def write_voc(root: pathlib.Path, **splits: list[str]) -> pathlib.Path:
    """Writes root/VOCdevkit/VOC2012 with the given lists of ids; returns VOC2012."""
    folder = root / "VOCdevkit" / "VOC2012"
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / name).mkdir(parents=True)
    for split, ids in splits.items():
        text = "".join(f"{name}\n" for name in ids)
        (folder / "ImageSets" / "Segmentation" / f"{split}.txt").write_text(text)
    for index, name in enumerate(sorted({name for ids in splits.values() for name in ids})):
        rng = np.random.default_rng(index)
        height, width = rng.integers(20, 40, 2)
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "JPEGImages" / f"{name}.jpg")
        labels = rng.choice(np.array([0, 1, 20, 255], np.uint8), (height, width))
        save_mask(folder, name, labels)
    return folder


def save_mask(folder: pathlib.Path, name: str, labels: np.ndarray) -> None:
    """Writes uint8 [H, W] as a palette PNG."""
    mask = Image.fromarray(labels)
    mask.putpalette(VOC.flat_palette())
    mask.save(folder / "SegmentationClass" / f"{name}.png")
