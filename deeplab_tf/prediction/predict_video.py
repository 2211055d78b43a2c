"""Predictions of a video: a palette PNG of labels for each frame, and a video with overlays."""

import contextlib
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
from deeplab_tf.prediction.write_outputs import Add, Share, Writer
from deeplab_tf.prediction.writes import Writes

MAX_SIDE = 1920
"""The longest side of the overlay video, in pixels; the labels have the frames' own size."""


def predict_video(
    predictor: Predictor,
    path: pathlib.Path,
    out: pathlib.Path,
    batch_size: int = BATCH_SIZE,
    writes: Writes | None = None,
    add: Add = lambda share: None,
) -> tuple[int, list[DeeplabError]]:
    """Writes NAME/000001.png and so on, one a frame, and NAME_overlay.mp4 into `out`.

    Each of the two outputs is whole or absent. Frames are decoded, predicted and encoded as they
    come, so the memory does not grow with the length of the video.

    Args:
        predictor: the model.
        path: the video.
        out: the folder.
        batch_size: the most frames that go through the network together.
        writes: which of the two outputs are written; None writes both.
        add: gets the share of each frame in the files of all images.

    Returns:
        The number of predicted frames, and errors for frames that could not be decoded; the rest of
        the video is written all the same.

    Raises:
        DeeplabError: `path` is no video or has no frame, the model takes other images than RGB, or
            the folder NAME was not written by `deeplab-predict`.
    """
    check_rgb(predictor)
    writes = writes or Writes()
    writer, paths = Writer.of(predictor, writes, out), video_outputs(path, out, writes.outputs)
    if "labels" in paths:
        check_folder(paths["labels"], is_labels_folder)
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
        with contextlib.ExitStack() as opened:
            add_frame = labels_folder = None
            if "overlay" in paths:
                file = video_file(paths["overlay"], view.size, video.rate, is_overlay_video)
                add_frame = opened.enter_context(file)
            if "labels" in paths:
                made = whole_folder(paths["labels"], is_labels_folder, durable=False)
                labels_folder = opened.enter_context(made)
                (labels_folder / MARK).touch()

            def finish(
                done: Predicted[tuple[int, fractions.Fraction]],
            ) -> tuple[Frame | None, Share]:
                number, time = done.picture.source
                labels = writes.tidy(done.labels, predictor.classes)
                if labels_folder is not None:
                    file = labels_folder / f"{number:06}.png"
                    write_labels(labels, predictor.classes, file, durable=False)
                shown = None
                if add_frame is not None:
                    shown = Frame(time, view.draw(done.picture.pixels, labels))
                name = f"{path.name}/{number:06}"
                return shown, Share(name, (height, width), writer.areas(labels, name))

            predicted = tqdm.tqdm(
                predict_batches(predictor, pictures, batch_size),
                desc=path.name,
                unit="frame",
                total=video.count,
                disable=None,
            )
            # The encoder takes one frame after the other; threads do the work before it.
            count = 0
            for frame, share in in_threads(finish, predicted):
                if add_frame is not None and frame is not None:
                    add_frame(frame)
                add(share)
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
