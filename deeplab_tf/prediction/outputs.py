"""Names of the predictions of images and videos, and checks that no other file is overwritten.

Tested in tests/prediction/test_inputs_and_outputs.py.
"""

import pathlib
import re
from collections.abc import Iterable

from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import Ours, any_of, check_file, check_folder, folder_of
from deeplab_tf.images import geotiff
from deeplab_tf.images.marks import (
    LABELS_SUFFIX,
    OVERLAY_SUFFIX,
    are_labels,
    is_marked,
    is_overlay,
)
from deeplab_tf.images.video import VIDEO_SUFFIXES, is_marked_video
from deeplab_tf.prediction.areas import is_areas
from deeplab_tf.prediction.coco_json import is_coco
from deeplab_tf.prediction.geojson import is_geojson
from deeplab_tf.prediction.labelme_json import is_labelme
from deeplab_tf.prediction.probability_files import are_probabilities

MARK = ".deeplab-predict"
"""The file in a folder of labels that lets a later run replace the folder."""
FRAME = "frame_{:06}"
"""The name, without suffix, of an image of a stream, by its number."""
SUFFIXES = {
    "labels": LABELS_SUFFIX,
    "overlay": OVERLAY_SUFFIX,
    "probabilities": "_probabilities.npz",
    "confidence": "_confidence.png",
    "geojson": ".geojson",
    "labelme": ".json",
}
"""The end of the name of each output that is a file of one image."""
GEO_SUFFIXES = {
    "labels": geotiff.LABELS_SUFFIX,
    "probabilities": "_probabilities.tif",
    "confidence": "_confidence.tif",
}
"""Those of a GeoTIFF where they differ."""
COMMON = {"areas": "areas.csv", "coco": "coco.json"}
"""The name of each output that is one file for all images."""
RECOGNISERS: dict[str, Ours] = {
    "labels": are_labels,
    "overlay": is_overlay,
    "probabilities": are_probabilities,
    "confidence": is_marked,
    "geojson": is_geojson,
    "labelme": is_labelme,
    "areas": is_areas,
    "coco": is_coco,
}
"""What may be replaced."""
GEO_RECOGNISERS: dict[str, Ours] = dict.fromkeys(GEO_SUFFIXES, geotiff.are_geo_labels)
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


def image_outputs(
    stem: str, is_geo: bool, out: pathlib.Path, outputs: Iterable[str]
) -> dict[str, pathlib.Path]:
    """Returns the path in `out` of each of the `outputs` of an image that are files of its own.

    Args:
        stem: the name of the image without suffix, which may have folders.
        is_geo: whether the image is a GeoTIFF, of which labels and probabilities are one too.
        out: the folder.
        outputs: as `Writes.outputs`.
    """
    suffixes = SUFFIXES | GEO_SUFFIXES if is_geo else SUFFIXES
    return {each: out / f"{stem}{suffixes[each]}" for each in outputs if each in suffixes}


def is_geotiff(image: pathlib.Path) -> bool:
    """Returns whether an image file has a place on the earth."""
    return bool(geotiff.read_place(image))


def common_outputs(out: pathlib.Path, outputs: Iterable[str]) -> dict[str, pathlib.Path]:
    """Returns the path in `out` of each of the `outputs` that is one file for all images."""
    return {each: out / COMMON[each] for each in outputs if each in COMMON}


def video_outputs(
    video: pathlib.Path, out: pathlib.Path, outputs: Iterable[str] = ("labels", "overlay")
) -> dict[str, pathlib.Path]:
    """Returns the paths of a video's folder of labels and of its overlay in `out`."""
    paths = {"labels": out / video.stem, "overlay": out / f"{video.stem}_overlay.mp4"}
    return {each: paths[each] for each in outputs if each in paths}


def is_video(path: pathlib.Path) -> bool:
    """Returns whether `path` has the suffix of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def check_outputs(
    files: Iterable[pathlib.Path], out: pathlib.Path, outputs: Iterable[str] = ("labels", "overlay")
) -> None:
    """Raises `DeeplabError` where an output in `out` would overwrite something else.

    An output may not be one of the input `files`, labels or an overlay that exist in the folder of
    their input, an output of another input, or what is not an earlier output.

    Args:
        files: images and videos.
        out: the folder.
        outputs: as `Writes.outputs`.
    """
    files, outputs = list(files), list(outputs)
    inputs = {file.resolve() for file in files}
    common = common_outputs(out, outputs)
    owners = {path: pathlib.Path(f"--write={each}") for each, path in common.items()}
    for each, path in common.items():
        if path.resolve() in inputs:
            raise DeeplabError(f"{path} would be overwritten; give another --out")
        check_file(path, RECOGNISERS[each])
    for file in files:
        geo = not is_video(file) and is_geotiff(file)
        paths = (
            video_outputs(file, out, outputs)
            if is_video(file)
            else image_outputs(file.stem, geo, out, outputs)
        )
        for each, path in paths.items():
            # NAME.png in the folder of an image may well be the image's mask.
            could_be_mask = each in ("labels", "overlay") and path.exists()
            beside_input = could_be_mask and file.parent.resolve() == out.resolve()
            if beside_input or path.resolve() in inputs:
                raise DeeplabError(f"{path} would be overwritten; give another --out")
            if (other := owners.setdefault(path, file)) is not file:
                raise DeeplabError(
                    f"{other} and {file} would both be written to {path.name}; predict them into "
                    "two folders"
                )
        recognisers = RECOGNISERS | (GEO_RECOGNISERS if geo else {})
        for each, path in paths.items():
            if not is_video(file):
                check_file(path, recognisers[each])
            elif each == "labels":
                check_folder(path, is_labels_folder)
            else:
                check_file(path, is_overlay_video)


def check_stream_outputs(out: pathlib.Path, outputs: Iterable[str] = ("labels", "overlay")) -> None:
    """Raises `DeeplabError` where a stream's outputs in `out` would overwrite something else."""
    outputs = list(outputs)
    for each, path in common_outputs(out, outputs).items():
        check_file(path, RECOGNISERS[each])
    for path in out.glob("frame_*"):
        for each in image_outputs("", False, out, outputs):
            if re.fullmatch(rf"frame_\d{{6,}}{re.escape(SUFFIXES[each])}", path.name):
                check_file(path, RECOGNISERS[each])
