"""Which files an `--images` flag means."""

import collections
import glob
import pathlib

from deeplab_tf.data.image_file import IMAGE_SUFFIXES
from deeplab_tf.data.source import read_list
from deeplab_tf.errors import DeeplabError


def find_images(images: str, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> list[pathlib.Path]:
    """The image files that `images` means: one file, a folder's, or a glob pattern's; sorted.

    Args:
        images: the flag's value.
        suffixes: what counts in a folder; a file or a pattern may name any other.

    Raises:
        DeeplabError: there are none.
    """
    path = pathlib.Path(images)
    if path.is_dir():
        found = [file for file in path.iterdir() if file.suffix.lower() in suffixes]
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


def read_names(listed: pathlib.Path) -> list[str]:
    """The names without suffix in the file `listed`, one a line, as VOC's ImageSets.

    Raises:
        DeeplabError: the file is missing, empty or has a name twice.
    """
    names = [name for line in read_list(listed, f"--list={listed}") for name in line.split()]
    if not names:
        raise DeeplabError(f"--list={listed} holds no name")
    twice = [name for name, count in collections.Counter(names).items() if count > 1]
    if twice:
        raise DeeplabError(f"--list={listed} has {twice[0]} more than once")
    return names


def listed_images(images: list[pathlib.Path], listed: pathlib.Path) -> list[pathlib.Path]:
    """Those of `images` whose names without suffix are in the file `listed`, in its order.

    Args:
        images: image files.
        listed: names without suffix, one a line, as VOC's ImageSets.

    Raises:
        DeeplabError: as `read_names`, or a name is not exactly one image.
    """
    names = read_names(listed)
    by_stem: dict[str, list[pathlib.Path]] = {name: [] for name in names}
    for image in images:
        if image.stem in by_stem:
            by_stem[image.stem].append(image)
    wrong = [name for name, found in by_stem.items() if len(found) != 1]
    if wrong:
        raise DeeplabError(
            f"{len(wrong)} of the {len(names)} names of --list={listed} are not exactly one image: "
            f"{wrong[0]} is {len(by_stem[wrong[0]])}"
        )
    return [found[0] for found in by_stem.values()]
