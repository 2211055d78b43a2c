"""Names of the predictions of images and videos, and checks that no other file is overwritten.

Tested in tests/prediction/test_inputs_and_outputs.py.
"""

import pathlib
from collections.abc import Iterable

from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.video import VIDEO_SUFFIXES

MARK = ".deeplab-predict"
"""The file in a folder of labels that lets a later run replace the folder."""


def image_outputs(image: pathlib.Path, out: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Returns the paths of the labels and of the overlay of `image` in `out`."""
    return out / f"{image.stem}.png", out / f"{image.stem}_overlay.jpg"


def video_outputs(video: pathlib.Path, out: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Returns the paths of the folder of labels and of the overlay of `video` in `out`."""
    return out / video.stem, out / f"{video.stem}_overlay.mp4"


def is_video(path: pathlib.Path) -> bool:
    """Returns whether `path` has the suffix of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def check_outputs(files: Iterable[pathlib.Path], out: pathlib.Path) -> None:
    """Raises `DeeplabError` where an output in `out` would overwrite something else.

    An output may not be one of the input `files`, a file that exists in the folder of its input, an
    output of another input, or a folder that is not an earlier output.
    """
    files = list(files)
    inputs = {file.resolve() for file in files}
    owners: dict[pathlib.Path, pathlib.Path] = {}
    for file in files:
        outputs = video_outputs(file, out) if is_video(file) else image_outputs(file, out)
        for path in outputs:
            # NAME.png in the folder of an image may well be the image's mask.
            beside_input = path.exists() and file.parent.resolve() == out.resolve()
            if beside_input or path.resolve() in inputs:
                raise DeeplabError(f"{path} would be overwritten; give another --out")
            if (other := owners.setdefault(path, file)) is not file:
                raise DeeplabError(
                    f"{other} and {file} would both be written to {path.name}; predict them into "
                    "two folders"
                )
        if is_video(file):
            check_replaceable(outputs[0])


def check_replaceable(folder: pathlib.Path) -> None:
    """Raises `DeeplabError` where a video's labels would replace a `folder` of other content.

    An empty folder, and a folder of labels of `deeplab-predict`, may be replaced.
    """
    ours = folder.is_dir() and ((folder / MARK).is_file() or not any(folder.iterdir()))
    if folder.exists() and not ours:
        raise DeeplabError(
            f"{folder} would be replaced by a video's labels, and was not written by "
            "deeplab-predict; give another --out"
        )
