"""Names of the predictions of images and videos, and checks that no other file is overwritten.

Tested in tests/prediction/test_inputs_and_outputs.py.
"""

import pathlib
import re
from collections.abc import Iterable

from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import Ours, any_of, check_file, check_folder, folder_of
from deeplab_tf.images import geotiff
from deeplab_tf.images.marks import LABELS_SUFFIX, OVERLAY_SUFFIX, are_labels, is_overlay
from deeplab_tf.images.video import VIDEO_SUFFIXES, is_marked_video

MARK = ".deeplab-predict"
"""The file in a folder of labels that lets a later run replace the folder."""
FRAME = "frame_{:06}"
"""The name, without suffix, of an image of a stream, by its number."""
is_labels_folder = folder_of(
    *(MARK, "*[0-9].png"),
    known={MARK: lambda mark: mark.is_file() and not mark.stat().st_size},
)
"""Recognises the folder of a video's labels."""


def _is_beside_labels(overlay: pathlib.Path) -> bool:
    """Recognises a video's overlay of an earlier version, which wrote no comment."""
    folder = overlay.with_name(overlay.name.removesuffix("_overlay.mp4"))
    return folder.is_dir() and is_labels_folder(folder)


is_overlay_video: Ours = any_of(is_marked_video, _is_beside_labels)
"""Recognises a video's overlay."""


def image_outputs(image: pathlib.Path, out: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Returns the paths of the labels and of the overlay of `image` in `out`."""
    return out / f"{image.stem}{labels_suffix(image)}", out / f"{image.stem}{OVERLAY_SUFFIX}"


def labels_suffix(image: pathlib.Path) -> str:
    """Returns `.tif` for a GeoTIFF, whose labels are one at the same place, otherwise `.png`."""
    return geotiff.LABELS_SUFFIX if geotiff.read_place(image) else LABELS_SUFFIX


def video_outputs(video: pathlib.Path, out: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Returns the paths of the folder of labels and of the overlay of `video` in `out`."""
    return out / video.stem, out / f"{video.stem}_overlay.mp4"


def is_video(path: pathlib.Path) -> bool:
    """Returns whether `path` has the suffix of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def check_outputs(files: Iterable[pathlib.Path], out: pathlib.Path) -> None:
    """Raises `DeeplabError` where an output in `out` would overwrite something else.

    An output may not be one of the input `files`, a file that exists in the folder of its input, an
    output of another input, or what is not an earlier output.
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
            check_folder(outputs[0], is_labels_folder)
            check_file(outputs[1], is_overlay_video)
        else:
            geo = outputs[0].suffix == geotiff.LABELS_SUFFIX
            check_file(outputs[0], geotiff.are_geo_labels if geo else are_labels)
            check_file(outputs[1], is_overlay)


def check_stream_outputs(out: pathlib.Path) -> None:
    """Raises `DeeplabError` where a stream's outputs in `out` would overwrite something else."""
    for path in out.glob("frame_*"):
        if re.fullmatch(rf"frame_\d{{6,}}{re.escape(LABELS_SUFFIX)}", path.name):
            check_file(path, are_labels)
        elif re.fullmatch(rf"frame_\d{{6,}}{re.escape(OVERLAY_SUFFIX)}", path.name):
            check_file(path, is_overlay)
