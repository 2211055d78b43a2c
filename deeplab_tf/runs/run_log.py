"""What a run leaves to read: a progress line, `metrics.jsonl`, and TensorBoard events."""

import json
import pathlib
import time

import numpy as np
import tensorflow as tf

from deeplab_tf.files import write_text
from deeplab_tf.images.classes import VOID, Classes
from deeplab_tf.images.formats import RGB, ImageFormat, view_rgb
from deeplab_tf.runs.workdir import METRICS_FILE, read_metrics

TENSORBOARD_DIR = "tensorboard"


class RunLog:
    """Logs of the run in `workdir`, going on from `start_step`.

    Args:
        workdir: gets `metrics.jsonl` (one JSON object a line) and `tensorboard/`.
        start_step: lines of later steps, from a run that was killed after its last checkpoint,
            are dropped, since the steps are done again.
        total_steps: for the time left.
        labels, image: the data set's classes and image format, for the look of the panels.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        start_step: int,
        total_steps: int,
        classes: Classes,
        image_format: ImageFormat = RGB,
    ):
        self._metrics = workdir / METRICS_FILE
        self._total = total_steps
        self._image_format = image_format
        self._colors = np.asarray(classes.flat_palette(), np.uint8).reshape(VOID + 1, 3)
        self._writer = tf.summary.create_file_writer(str(workdir / TENSORBOARD_DIR))
        self._since = (start_step, time.monotonic())
        kept = [row for row in read_metrics(self._metrics) if row["step"] <= start_step]
        write_text(self._metrics, "".join(json.dumps(row) + "\n" for row in kept))

    def restart_clock(self, step: int) -> None:
        """Begins the measurement of images/s anew, after something that is not training."""
        self._since = (step, time.monotonic())

    def write(self, step: int, batch_size: int, values: dict[str, float]) -> None:
        """Records the mean losses and the rate since the last call and prints the progress line."""
        last_step, last_time = self._since
        steps_per_second = (step - last_step) / max(time.monotonic() - last_time, 1e-9)
        values = {**values, "images_per_second": steps_per_second * batch_size}
        with self._metrics.open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        with self._writer.as_default(step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        left = (self._total - step) / max(steps_per_second, 1e-9)
        print(
            f"step {step:>{len(str(self._total))}}/{self._total}"
            f"  loss {values['loss']:.4f}  rate {values['learning_rate']:.6f}"
            f"{_loss_scale(values)}"
            f"  {values['images_per_second']:.1f} images/s  {format_duration(left)} left",
            flush=True,
        )
        self.restart_clock(step)

    def write_panels(self, step: int, images, labels, predictions) -> None:
        """Writes input, truth and prediction side by side as TensorBoard images.

        Args:
            step: of the run.
            images: [N, H, W, bands].
            labels, predictions: [N, H, W] integer, class ids or void.
        """
        pictures = [
            view_rgb(np.asarray(images), self._image_format),
            self._colors[np.asarray(labels)],
            self._colors[np.asarray(predictions)],
        ]
        with self._writer.as_default(step):
            tf.summary.image("input, truth, prediction", np.concatenate(pictures, axis=2))

    def close(self) -> None:
        """Flushes the events."""
        self._writer.close()


def _loss_scale(values: dict[str, float]) -> str:
    """`  loss scale 16384 (1 skipped)`, where the training has one."""
    if "loss_scale" not in values:
        return ""
    skipped = f" ({values['skipped']:.0f} skipped)" if values["skipped"] else ""
    return f"  loss scale {values['loss_scale']:g}{skipped}"


def format_duration(seconds: float) -> str:
    """`42 s`, `3 min 20 s` or `5 h 12 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
