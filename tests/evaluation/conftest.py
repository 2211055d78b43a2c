"""A small data set of the shapes' classes with a random truth, as image files and as records."""

import pathlib

import numpy as np
import pytest
from PIL import Image
from support.random_model import random_picture

from deeplab_tf.data.sources.masks import IndexMask, plain_values
from deeplab_tf.data.sources.source import Pair, Source
from deeplab_tf.data.write_records import write_records
from deeplab_tf.images.classes import SHAPES, VOID
from deeplab_tf.images.drawing import write_labels

SIZES = [(40, 53), (65, 65), (33, 70), (50, 41), (64, 48)]


@pytest.fixture(scope="session")
def raw_folder(tmp_path_factory) -> pathlib.Path:
    """`images/NAME.jpg` and `masks/NAME.png`; the masks have void and lack the last class."""
    root = tmp_path_factory.mktemp("raw")
    (root / "images").mkdir()
    rng = np.random.default_rng(5)
    for index, size in enumerate(SIZES):
        picture = Image.fromarray(random_picture(*size, seed=index))
        picture.save(root / "images" / f"example{index}.jpg")
        coarse = rng.choice([0, 1, 2, 3, 4, VOID], (4, 4)).astype(np.uint8)
        mask = Image.fromarray(coarse).resize(size[::-1], Image.Resampling.NEAREST)
        write_labels(np.asarray(mask), SHAPES, root / "masks" / f"example{index}.png")
    return root


@pytest.fixture(scope="session")
def data_dir(raw_folder, tmp_path_factory) -> pathlib.Path:
    """The same as records: data set `shapes`, split `val`."""
    values = plain_values(SHAPES.num_classes, VOID)
    pairs = [
        Pair(image.stem, image, IndexMask(raw_folder / "masks" / f"{image.stem}.png", values))
        for image in sorted((raw_folder / "images").iterdir())
    ]
    folder = tmp_path_factory.mktemp("data")
    write_records(Source(SHAPES, {"val": pairs}), folder)
    return folder
