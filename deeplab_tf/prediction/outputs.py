"""What the predictions of an image or a video are called, and that they overwrite nothing else."""

import pathlib
from collections.abc import Iterable

from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.video import VIDEO_SUFFIXES

MARK = ".deeplab-predict"
"""A file in a folder of labels by which a later run knows that it may replace it."""


def image_outputs(image: pathlib.Path, out: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Where the labels and the overlay of `image` go."""
    return out / f"{image.stem}.png", out / f"{image.stem}_overlay.jpg"


def video_outputs(video: pathlib.Path, out: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Where the folder of labels and the overlay of `video` go."""
    return out / video.stem, out / f"{video.stem}_overlay.mp4"


def is_video(path: pathlib.Path) -> bool:
    """Whether `path` is a video by its name."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def check_outputs(files: Iterable[pathlib.Path], out: pathlib.Path) -> None:
    """Raises `DeeplabError` where an output in `out` would overwrite one of the input `files`, what
    lies beside it, another's output, or a folder that is not an earlier output."""
    files = list(files)
    inputs = {file.resolve() for file in files}
    owners: dict[pathlib.Path, pathlib.Path] = {}
    for file in files:
        outputs = video_outputs(file, out) if is_video(file) else image_outputs(file, out)
        for path in outputs:
            # Beside an image its NAME.png may well be its mask.
            beside = path.exists() and file.parent.resolve() == out.resolve()
            if beside or path.resolve() in inputs:
                raise DeeplabError(f"{path} would be overwritten; give another --out")
            if (other := owners.setdefault(path, file)) is not file:
                raise DeeplabError(
                    f"{other} and {file} would both be written to {path.name}; predict them into "
                    "two folders"
                )
        if is_video(file):
            check_replaceable(outputs[0])


def check_replaceable(folder: pathlib.Path) -> None:
    """Raises `DeeplabError` where `folder`, which a video's labels replace, is not made by us."""
    ours = folder.is_dir() and ((folder / MARK).is_file() or not any(folder.iterdir()))
    if folder.exists() and not ours:
        raise DeeplabError(
            f"{folder} would be replaced by a video's labels, and was not written by "
            "deeplab-predict; give another --out"
        )
