"""A folder of one's own with four tiny pictures, for tests to describe and to break."""

import json

import numpy as np
from PIL import Image

NUMBERS = np.array([[0, 7, 7], [9, 255, 0]], np.uint8)
COLORS = {0: (0, 0, 0), 7: (128, 64, 128), 9: (1, 2, 3), 255: (255, 255, 255)}
BY_NUMBER = {
    "name": "streets",
    "classes": ["other", "road", "car"],
    "labels": {"0": "other", "7": "road", "9": "car"},
    "void": [255],
    "splits": {"train": "train.txt", "val": "lists/val.txt"},
}
BY_COLOR = {
    **BY_NUMBER,
    "labels": {"#000000": "other", "#804080": "road", "#010203": "car"},
    "void": ["#FFFFFF"],
}
EXPECTED = np.array([[0, 1, 1], [2, 255, 0]], np.uint8)


def colored(numbers):
    return np.array([[COLORS[int(value)] for value in row] for row in numbers], np.uint8)


def write_folder(root, description, *, masks="numbers", suffix="", ids="abcd", below=("", "")):
    """images/ID.png and masks/ID.png of `NUMBERS`; lists of a, b, c and of d."""
    for kind in ("images", "masks", "lists"):
        (root / kind).mkdir(parents=True, exist_ok=True)
    for name in ids:
        image = root / "images" / below[name == "d"] / f"{name}.png"
        mask = root / "masks" / below[name == "d"] / f"{name}{suffix}.png"
        for file in (image, mask):
            file.parent.mkdir(exist_ok=True)
        Image.new("RGB", (3, 2), (ord(name), 0, 0)).save(image)
        Image.fromarray(NUMBERS if masks == "numbers" else colored(NUMBERS)).save(mask)
    (root / "train.txt").write_text("a\nb.png\nc\n")
    (root / "lists" / "val.txt").write_text("d\n")
    if description is not None:
        (root / "dataset.json").write_text(json.dumps(description))
    return root
