"""The files that an `--images` flag means.

Tested in tests/prediction/test_inputs_and_outputs.py and tests/prediction/test_submission.py.
"""

import collections
import glob
import pathlib
from collections.abc import Iterator

from deeplab_tf.data.sources.source import read_list
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.suffixes import IMAGE_SUFFIXES, is_hidden, is_image, passed_over


def find_images(images: str, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> list[pathlib.Path]:
    """Returns the image files that `images` means, sorted.

    Args:
        images: the value of the flag: one file, a folder, or a glob pattern.
        suffixes: the suffixes that count in a folder; a file or a pattern may have any other.

    Raises:
        DeeplabError: there is no such file.
    """
    found = sorted(walk_images(images, suffixes))
    if not found:
        raise no_image(images)
    return found


def no_image(images: str) -> DeeplabError:
    """Returns the error for a flag `images` that means no file."""
    others = passed_over_in(images)
    return DeeplabError(
        f"--images={images} matches no image; "
        + (others or "give a file, a folder or a quoted pattern")
    )


def passed_over_in(images: str, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> str | None:
    """Returns a line about the files of a folder that `find_images` passes over, or None.

    Args:
        images, suffixes: as for `find_images`; a file or a pattern passes over nothing.
    """
    folder = pathlib.Path(images)
    if not folder.is_dir():
        return None
    files = (file for file in folder.iterdir() if not is_hidden(file.name))
    return passed_over((file for file in files if file.is_file()), suffixes)


def walk_images(images: str, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> Iterator[pathlib.Path]:
    """Yields the files of `find_images` one by one, unsorted, so that memory need not hold all."""
    path = pathlib.Path(images)
    if path.is_dir():
        for file in path.iterdir():
            if is_image(file, suffixes) and file.is_file():
                yield file
    elif path.is_file():
        yield path
    else:
        matches = map(pathlib.Path, glob.iglob(images, recursive=True))
        yield from (match for match in matches if match.is_file())


def root_of(images: str) -> pathlib.Path:
    """Returns the folder that all files of `walk_images` lie in.

    The folder of a pattern is the part before its wildcards.
    """
    path = pathlib.Path(images)
    if path.is_dir():
        return path
    if path.is_file():
        return path.parent
    parents = [path, *path.parents]
    return next((parent for parent in parents[1:] if not glob.has_magic(str(parent))), path.parent)


def read_names(listed: pathlib.Path) -> list[str]:
    """Returns the names without suffix in the file `listed`, one a line, as in VOC's ImageSets.

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
    """Returns the `images` whose names without suffix are in the file `listed`, in its order.

    Args:
        images: image files.
        listed: a file of names without suffix, one a line, as in VOC's ImageSets.

    Raises:
        DeeplabError: `read_names` fails, or a name is not exactly one image.
    """
    names = read_names(listed)
    by_stem: dict[str, list[pathlib.Path]] = {name: [] for name in names}
    for image in images:
        if image.stem in by_stem:
            by_stem[image.stem].append(image)
    wrong = [name for name, found in by_stem.items() if len(found) != 1]
    if wrong:
        raise DeeplabError(
            f"{len(wrong)} of the {len(names)} names of --list={listed} do not name exactly one "
            f"image: {wrong[0]} names {len(by_stem[wrong[0]])}"
        )
    return [found[0] for found in by_stem.values()]
