"""Which image files a `--images` flag means, and what their predictions are called."""

import glob
import pathlib

from deeplab_tf.errors import DeeplabError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
"""What counts as an image in a folder; a file or a pattern may name any other."""


def find_images(images: str) -> list[pathlib.Path]:
    """The image files that `images` means: one file, a folder's, or a glob pattern's; sorted.

    Raises:
        DeeplabError: there are none.
    """
    path = pathlib.Path(images)
    if path.is_dir():
        found = [file for file in path.iterdir() if file.suffix.lower() in SUFFIXES]
        found = [file for file in found if file.is_file() and not file.name.startswith(".")]
    elif path.is_file():
        found = [path]
    else:
        found = [pathlib.Path(match) for match in glob.glob(images, recursive=True)]
        found = [match for match in found if match.is_file()]
    if not found:
        raise DeeplabError(
            f"--images={images} matches no image; give a file, a folder or a quoted pattern"
        )
    return sorted(found)


def output_paths(image: pathlib.Path, out: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Where the labels and the overlay of `image` go."""
    return out / f"{image.stem}.png", out / f"{image.stem}_overlay.jpg"
