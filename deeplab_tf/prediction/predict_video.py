"""Predictions of a video: a palette PNG of labels for each frame, and a video with overlays."""

import fractions
import itertools
import pathlib

import numpy as np
import tqdm
from PIL import Image

from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import check_folder, whole_folder
from deeplab_tf.images.classes import Classes
from deeplab_tf.images.drawing import blend, class_legend, write_labels
from deeplab_tf.images.video import Frame, Video, open_video, video_file
from deeplab_tf.inference.batches import BATCH_SIZE, Picture, Predicted, predict_batches
from deeplab_tf.inference.predictor import Predictor, check_rgb
from deeplab_tf.parallel import in_threads
from deeplab_tf.prediction.outputs import (
    MARK,
    is_labels_folder,
    is_overlay_video,
    video_outputs,
)

MAX_SIDE = 1920
"""The longest side of the overlay video, in pixels; the labels have the frames' own size."""


def predict_video(
    predictor: Predictor, path: pathlib.Path, out: pathlib.Path, batch_size: int = BATCH_SIZE
) -> tuple[int, list[DeeplabError]]:
    """Writes NAME/000001.png and so on, one a frame, and NAME_overlay.mp4 into `out`.

    Each of the two outputs is whole or absent. Frames are decoded, predicted and encoded as they
    come, so the memory does not grow with the length of the video.

    Returns:
        The number of predicted frames, and errors for frames that could not be decoded; the rest of
        the video is written all the same.

    Raises:
        DeeplabError: `path` is no video or has no frame, the model takes other images than RGB, or
            the folder NAME was not written by `deeplab-predict`.
    """
    check_rgb(predictor)
    folder, overlay_path = video_outputs(path, out)
    check_folder(folder, is_labels_folder)
    with open_video(path) as video:
        frames = video.frames()
        try:
            first = next(frames)
        except StopIteration:
            reason = video.problem or "it has no frame"
            raise DeeplabError(f"video {path} cannot be read: {reason}") from None
        height, width, _ = first.pixels.shape
        view = _View(height, width, predictor.classes)
        pictures = (
            Picture((number, frame.time), frame.pixels)
            for number, frame in enumerate(itertools.chain([first], frames), 1)
        )
        with (
            video_file(overlay_path, view.size, video.rate, is_overlay_video) as add,
            whole_folder(folder, is_labels_folder, durable=False) as labels_folder,
        ):
            (labels_folder / MARK).touch()

            def finish(done: Predicted[tuple[int, fractions.Fraction]]) -> Frame:
                number, time = done.picture.source
                path = labels_folder / f"{number:06}.png"
                write_labels(done.labels, predictor.classes, path, durable=False)
                return Frame(time, view.draw(done.picture.pixels, done.labels))

            predicted = tqdm.tqdm(
                predict_batches(predictor, pictures, batch_size),
                desc=path.name,
                unit="frame",
                total=video.count,
                disable=None,
            )
            # The encoder takes one frame after the other; threads do the work before it.
            count = 0
            for frame in in_threads(finish, predicted):
                add(frame)
                count += 1
        return count, _problems(video, count)


def _problems(video: Video, count: int) -> list[DeeplabError]:
    if video.problem is None:
        return []
    broken = f"{video.broken} pieces could not be decoded, the first " if video.broken else ""
    return [
        DeeplabError(f"video {video.path}: {broken}{video.problem}; {count} frames were predicted")
    ]


class _View:
    """A view of frames of one size: each under its labels' colours, above all class names."""

    def __init__(self, height: int, width: int, classes: Classes):
        shrink = min(1.0, MAX_SIDE / max(height, width))
        self._classes = classes
        self._inner = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        self._legend = class_legend(classes, self._inner[0])
        width, height = self._legend.width, self._inner[1] + self._legend.height
        self.size = (height + height % 2, width + width % 2)
        """(height, width), both even, since H.264 stores colours at half the resolution."""

    def draw(self, pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Returns the view, uint8 [*size, 3], of pixels uint8 [H, W, 3] and labels uint8 [H, W]."""
        canvas = Image.new("RGB", (self.size[1], self.size[0]), "white")
        blended = blend(pixels, labels, self._classes)
        if blended.size != self._inner:
            blended = blended.resize(self._inner, Image.Resampling.BILINEAR)
        canvas.paste(blended)
        canvas.paste(self._legend, (0, self._inner[1]))
        return np.asarray(canvas)
