"""Small drawn data sets in the forms that folders of images and masks have in the world.

`Drawn` holds the truth; the functions that change a folder are in the tests that need them.
"""

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from deeplab_tf.data.read_pair import encode_examples
from deeplab_tf.data.sources.source import Source

WIDTH, HEIGHT = 44, 36


@dataclasses.dataclass(frozen=True)
class Drawn:
    """One image and its truth: RGB uint8 [H, W, 3] and class ids uint8 [H, W]."""

    photo: np.ndarray
    truth: np.ndarray


def drawn(seed: int, classes: int = 3) -> Drawn:
    """A dark noisy ground, and on it for each other class a bright square and a disc."""
    rng = np.random.default_rng([7, seed])
    photo = rng.integers(20, 60, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    truth = np.zeros((HEIGHT, WIDTH), np.uint8)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for label in range(1, classes):
        top, left = rng.integers(2, HEIGHT - 12), rng.integers(2, WIDTH - 12)
        radius = rng.integers(5, 9)
        middle = rng.integers(radius, HEIGHT - radius), rng.integers(radius, WIDTH - radius)
        square = (y >= top) & (y < top + 9) & (x >= left) & (x < left + 9)
        disc = (y - middle[0]) ** 2 + (x - middle[1]) ** 2 < radius**2
        truth[square | disc] = label
    photo[truth > 0] = 60 * truth[truth > 0, None] + rng.integers(0, 40, 3, dtype=np.uint8)
    return Drawn(photo, truth)


def draw_set(count: int = 12, classes: int = 3) -> dict[str, Drawn]:
    return {f"img_{number:03d}": drawn(number, classes) for number in range(count)}


def save(pixels: np.ndarray | Image.Image, path: Path, **options) -> Path:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)
    return path


def write_set(
    root: Path,
    drawings: dict[str, Drawn],
    *,
    image: str = "images/{}.png",
    mask: str = "masks/{}.png",
    draw: Callable[[np.ndarray], np.ndarray | Image.Image] = lambda truth: truth,
    **options,
) -> Path:
    """Writes every image and mask; `{}` in both names is the id, `draw` makes the mask's picture.

    `options` go to Pillow with the mask.
    """
    for name, drawing in drawings.items():
        save(drawing.photo, root / image.format(name))
        save(draw(drawing.truth), root / mask.format(name), **options)
    return root


def write_splits(
    root: Path, image: str, mask: str, splits: dict[str, int]
) -> dict[str, dict[str, Drawn]]:
    """Writes so many images for each split; `{split}` and `{name}` are in both names."""
    written, number = {}, 0
    for split, count in splits.items():
        written[split] = {}
        for _ in range(count):
            name, drawing = f"p{number:02d}", drawn(number)
            save(drawing.photo, root / image.format(split=split, name=name))
            save(drawing.truth, root / mask.format(split=split, name=name))
            written[split][name], number = drawing, number + 1
    return written


def stored(source: Source) -> dict[str, np.ndarray]:
    """Returns the masks that the records of `source` would hold, uint8 [H, W], by image."""
    masks = {}
    for pairs in source.splits.values():
        for pair in pairs:
            ((name, _, mask),) = encode_examples(pair, source.image_format)
            masks[name.rpartition("/")[2]] = np.asarray(Image.open(io.BytesIO(mask)))
    return masks


def assert_holds(source: Source, truth: dict[str, np.ndarray]) -> None:
    """Asserts that the records have every image, and each class of the truth as one of theirs."""
    masks = stored(source)
    assert masks.keys() == truth.keys()
    pairs = [np.stack([masks[name], mask], -1).reshape(-1, 2) for name, mask in truth.items()]
    both = np.unique(np.concatenate(pairs), axis=0)
    assert len(both) == len(np.unique(both[:, 0])) == len(np.unique(both[:, 1])) > 1
