"""Public data sets of a few drawn pictures, in the folders and file forms of their publishers."""

import numpy as np
from PIL import Image
from scipy.io import savemat

from deeplab_tf.data.sources.ade20k import ADE20K
from deeplab_tf.data.sources.cityscapes import LABELS
from deeplab_tf.data.sources.pascal_context import NUMBERS
from deeplab_tf.images.classes import VOID

SIZE = (12, 15)  # height and width


def truth(seed, num_classes):
    """A drawn mask: blocks of random classes, and void; the first one has every class."""
    rng = np.random.default_rng(seed)
    labels = np.resize(rng.permutation(num_classes), SIZE).astype(np.uint8)
    labels[rng.integers(0, SIZE[0], 9), rng.integers(0, SIZE[1], 9)] = VOID
    return labels


def numbers(labels, table, void):
    """The masks' numbers for class ids: `table` has the number of each class."""
    lookup = np.full(256, void, np.uint16)
    lookup[: len(table)] = table
    return lookup[labels]


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def save_image(path, seed):
    save(path, np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), np.uint8))


def write_cityscapes(root, kind="gtFine", second="val"):
    """Three images of two cities in train and one in `second`; returns the truth by split."""
    drawn = {"train": {}, second: {}}
    names = (("train", "aachen", 0), ("train", "aachen", 1), ("train", "bochum", 0))
    for seed, (split, city, number) in enumerate([*names, (second, "munster", 0)]):
        stem = f"{city}_{number:06d}_000019"
        labels = truth(seed, len(LABELS))
        save_image(root / f"leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png", seed)
        file = root / f"{kind}/{split}/{city}/{stem}_{kind}_labelIds.png"
        save(file, numbers(labels, [*LABELS], void=seed % 7).astype(np.uint8))
        save(file.with_name(f"{stem}_{kind}_color.png"), np.zeros((*SIZE, 3), np.uint8))
        drawn[split][stem] = labels
    return drawn


def write_cityscapes_coarse(root):
    """Does what `write_cityscapes` does, with coarse masks and the split train_extra."""
    return write_cityscapes(root, "gtCoarse", "train_extra")


def write_ade20k(root):
    """Two images in training and one in validation; returns the truth by split."""
    drawn = {"train": {}, "val": {}}
    pairs = (("train", "training", 1), ("train", "training", 2), ("val", "validation", 1))
    for seed, (split, folder, number) in enumerate(pairs):
        stem = f"ADE_{split}_{number:08d}"
        labels = truth(seed, ADE20K.num_classes)
        save_image(root / f"images/{folder}/{stem}.jpg", seed)
        file = root / f"annotations/{folder}/{stem}.png"
        save(file, numbers(labels, range(1, 151), void=0).astype(np.uint8))
        drawn[split][stem] = labels
    return drawn


def write_pascal_context(root, matlab=True):
    """Two images in train and one in val; returns the truth by split."""
    voc, drawn = root / "VOC2010", {"train": {}, "val": {}}
    lists = voc / ("ImageSets/Main" if matlab else "ImageSets/SegmentationContext")
    lists.mkdir(parents=True)
    for seed, (split, name) in enumerate([("train", "a"), ("train", "b"), ("val", "c")]):
        labels = truth(seed, len(NUMBERS))
        save_image(voc / f"JPEGImages/{name}.jpg", seed)
        if matlab:
            (root / "trainval").mkdir(exist_ok=True)
            in_file = numbers(labels, [*NUMBERS.values()], void=459)
            savemat(root / f"trainval/{name}.mat", {"LabelMap": in_file}, do_compression=True)
        else:
            in_file = numbers(labels, range(1, 60), void=0).astype(np.uint8)
            save(voc / f"SegmentationClassContext/{name}.png", in_file)
        drawn[split][name] = labels
        (lists / f"{split}.txt").write_text("".join(f"{stem}\n" for stem in drawn[split]))
    return drawn


def write_pascal_context_pngs(root):
    """Does what `write_pascal_context` does, with the PNGs of mmsegmentation's converter."""
    return write_pascal_context(root, matlab=False)
