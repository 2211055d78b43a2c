"""Predictions of all files of one command, images first, then videos, and their summary.

Tested in tests/cli/test_predict.py, through `deeplab-predict`.
"""

import io
import pathlib
import sys
from collections.abc import Callable
from typing import cast

from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.video import check_video
from deeplab_tf.inference.predictor import Predictor, check_rgb
from deeplab_tf.prediction.outputs import check_outputs, is_video
from deeplab_tf.prediction.predict_images import predict_images
from deeplab_tf.prediction.predict_stream import predict_stream
from deeplab_tf.prediction.predict_video import predict_video


def check_files(files: list[pathlib.Path], out: pathlib.Path) -> None:
    """Raises `DeeplabError` where the predictions of `files` cannot be written into `out`."""
    check_outputs(files, out)
    if any(map(is_video, files)):
        check_video()


def run_files(
    predictor: Predictor,
    files: list[pathlib.Path],
    out: pathlib.Path,
    batch_size: int,
    report: Callable[[str], None] = print,
) -> None:
    """Predicts image and video files into `out`, and reports how many; goes on after a bad file.

    Raises:
        DeeplabError: at the end, where files could not be read; the message names each file.
    """
    videos = [file for file in files if is_video(file)]
    images = [file for file in files if not is_video(file)]
    if videos:
        check_rgb(predictor)
    out.mkdir(parents=True, exist_ok=True)
    failed = predict_images(predictor, images, out, batch_size)
    done = [f"{len(images) - len(failed)} of {len(images)} images"] if images else []
    if videos:
        predicted = frames = 0
        for video in videos:
            try:
                count, problems = predict_video(predictor, video, out, batch_size)
            except DeeplabError as error:
                failed.append(error)
                continue
            predicted, frames, failed = predicted + 1, frames + count, failed + problems
        done.append(f"{predicted} of {len(videos)} videos ({frames:,} frames)")
    summary = f"{' and '.join(done)} predicted into {out}"
    report(summary)
    _raise(failed, f"{len(files)} files could not be read, or not to the end")


def run_stream(
    predictor: Predictor,
    out: pathlib.Path,
    report: Callable[[str], None] = print,
    report_error: Callable[[str], None] = print,
) -> None:
    """Predicts the images on standard input into `out`, and reports how many.

    A bad image is left out, `report_error` gets a line about it, and the next image is read.

    Raises:
        DeeplabError: no image came, or, at the end, frames could not be read.
    """
    out.mkdir(parents=True, exist_ok=True)
    stdin = cast(io.BufferedReader, sys.stdin.buffer)
    result = predict_stream(predictor, stdin, out, report_error)
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
