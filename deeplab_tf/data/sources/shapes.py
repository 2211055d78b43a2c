"""The embedded data set of drawn shapes.

The shapes are written as a VOCdevkit, so that the reader of VOC reads them.
"""

from pathlib import Path

from PIL import Image
from tqdm import tqdm

from deeplab_tf.data.sources.draw_shapes import draw_example
from deeplab_tf.data.sources.source import Source
from deeplab_tf.data.sources.voc import voc_source
from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import never, own_folder, whole_file, whole_folder, write_jpeg
from deeplab_tf.images.classes import SHAPES
from deeplab_tf.parallel import in_processes

TRAIN_IMAGES, VAL_IMAGES = 2400, 100
JPEG_QUALITY = 92


def shapes_source(folder: str | Path) -> Source:
    """Reads the drawn shapes in `folder`, and draws them first where `folder` does not exist."""
    if not Path(folder).exists():
        write_shapes_devkit(folder)
    return voc_source(folder, SHAPES)


def write_shapes_devkit(
    root: str | Path, train: int = TRAIN_IMAGES, val: int = VAL_IMAGES, seed: int = 0
) -> None:
    """Draws the data set into the new folder `root`, which has the folders of a VOCdevkit.

    Equal arguments give equal files, and image i of a split does not depend on the number of
    images. The folder appears when it is complete.

    Args:
        root: the folder to write, which must not exist.
        train, val: the number of images in each split.
        seed: the seed of all random choices.

    Raises:
        DeeplabError: `root` exists.
    """
    root = Path(root)
    if root.exists():
        raise DeeplabError(f"folder {root} exists; remove it to draw the shapes there")
    # To flush 5,000 small files would take longer than to draw them.
    with whole_folder(root, never, durable=False) as temporary:
        folder = temporary / "VOC2012"
        for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
            (folder / name).mkdir(parents=True)
        plan = []
        for number, (split, count) in enumerate((("train", train), ("val", val))):
            names = [f"{split}_{index:04d}" for index in range(count)]
            plan += [(folder, name, (seed, number, index)) for index, name in enumerate(names)]
            lines = "".join(f"{name}\n" for name in names)
            (folder / "ImageSets" / "Segmentation" / f"{split}.txt").write_text(lines)
        drawn = in_processes(_draw_and_write, plan)
        for _ in tqdm(drawn, desc="draw shapes", unit="image", total=len(plan), disable=None):
            pass


def _draw_and_write(task: tuple[Path, str, tuple[int, ...]]) -> None:
    """Draws the example of one seed and writes it as a JPEG and a palette PNG, as in VOC.

    Args:
        task: the folder VOC2012, the id, and the seed of the example.
    """
    folder, name, seed = task
    example = draw_example(seed)
    picture = Image.fromarray(example.image)
    write_jpeg(
        folder / "JPEGImages" / f"{name}.jpg", picture, JPEG_QUALITY, own_folder, durable=False
    )
    mask = Image.fromarray(example.mask)
    mask.putpalette(SHAPES.flat_palette())
    path = folder / "SegmentationClass" / f"{name}.png"
    with whole_file(path, own_folder, durable=False) as temporary:
        mask.save(temporary)
