"""Predictions of all files of one command, images first, then videos, and their summary.

Tested in tests/cli/test_predict.py, through `deeplab-predict`.
"""

import io
import pathlib
import sys
from collections.abc import Callable
from typing import cast

from deeplab_tf.errors import DeeplabError, StoreLostError
from deeplab_tf.images.classes import Classes
from deeplab_tf.images.video import check_video
from deeplab_tf.inference.predictor import Predictor, check_rgb
from deeplab_tf.prediction.labelme_json import check_names
from deeplab_tf.prediction.outputs import check_outputs, is_video
from deeplab_tf.prediction.predict_images import predict_images
from deeplab_tf.prediction.predict_stream import predict_stream
from deeplab_tf.prediction.predict_video import predict_video
from deeplab_tf.prediction.write_outputs import Writer, collected
from deeplab_tf.prediction.writes import FORMS, KINDS, OF_VIDEOS, Writes


def check_files(
    files: list[pathlib.Path],
    out: pathlib.Path,
    writes: Writes | None = None,
    classes: Classes | None = None,
) -> None:
    """Raises `DeeplabError` where the predictions of `files` cannot be written into `out`.

    Args:
        files: images and videos.
        out: the folder.
        writes: what is written; None for the default.
        classes: those of the model; None where only the loaded model tells, which `run_files`
            then checks before it predicts.
    """
    writes = writes or Writes()
    writes.check()
    if any(map(is_video, files)):
        check_video()
        writes.refuse(
            "a video",
            OF_VIDEOS,
            "cut it into images (ffmpeg -i VIDEO frames/%06d.png), or leave it out",
        )
    check_outputs(files, out, writes.outputs)
    if classes is not None and "labelme" in writes.outputs:
        check_names(out, classes)


def check_stream(writes: Writes) -> None:
    """Raises `DeeplabError` where a stream cannot have what is to be written."""
    writes.check()
    allowed = tuple({*KINDS, *FORMS} - {"labelme", "coco"})
    writes.refuse("a stream", allowed, "labelling tools need image files; give --images=FOLDER")


def run_files(
    predictor: Predictor,
    files: list[pathlib.Path],
    out: pathlib.Path,
    batch_size: int,
    report: Callable[[str], None] = print,
    writes: Writes | None = None,
) -> None:
    """Predicts image and video files into `out`, and reports how many; goes on after a bad file.

    Raises:
        DeeplabError: at the end, where files could not be read; the message names each file.
    """
    writes = writes or Writes()
    writes.check_model(predictor)
    videos = [file for file in files if is_video(file)]
    images = [file for file in files if not is_video(file)]
    if videos:
        check_rgb(predictor)
    out.mkdir(parents=True, exist_ok=True)
    with collected(Writer.of(predictor, writes, out)) as add:
        failed = predict_images(predictor, images, out, batch_size, writes, add)
        done = [f"{len(images) - len(failed)} of {len(images)} images"] if images else []
        if videos:
            predicted = frames = 0
            for video in videos:
                try:
                    with add.all_or_none():
                        found = predict_video(predictor, video, out, batch_size, writes, add)
                except StoreLostError:  # the next video would wait for the store as long
                    raise
                except DeeplabError as error:
                    failed.append(error)
                    continue
                predicted, frames, failed = predicted + 1, frames + found[0], failed + found[1]
            done.append(f"{predicted} of {len(videos)} videos ({frames:,} frames)")
    summary = f"{' and '.join(done)} predicted into {out}"
    report(summary)
    _raise(failed, f"{len(files)} files could not be read, or not to the end")


def run_stream(
    predictor: Predictor,
    out: pathlib.Path,
    report: Callable[[str], None] = print,
    report_error: Callable[[str], None] = print,
    writes: Writes | None = None,
) -> None:
    """Predicts the images on standard input into `out`, and reports how many.

    A bad image is left out, `report_error` gets a line about it, and the next image is read.

    Raises:
        DeeplabError: no image came, or, at the end, frames could not be read.
    """
    writes = writes or Writes()
    writes.check_model(predictor)
    out.mkdir(parents=True, exist_ok=True)
    stdin = cast(io.BufferedReader, sys.stdin.buffer)
    writer = Writer.of(predictor, writes, out)
    with collected(writer) as add:
        result = predict_stream(predictor, stdin, writer, report_error, add)
        # Within the block, so that no file of all images is left with nothing in it.
        if not result.frames:
            raise DeeplabError("standard input ended before any image came")
    summary = f"{result.frames - result.failed} of {result.frames} frames predicted into {out}"
    report(summary)
    _raise(result.errors, f"{result.frames} frames could not be read", result.failed)


def _raise(errors: list[DeeplabError], of: str, failed: int | None = None) -> None:
    """Raises the `errors` as one error, where there are any.

    The message begins with `failed` of `of`; `failed` is the number of `errors` by default.
    """
    if errors:
        failed = failed or len(errors)
        more = f"; and {failed - len(errors)} more" if failed > len(errors) else ""
        raise DeeplabError(f"{failed} of {of}: {'; '.join(map(str, errors))}{more}")
